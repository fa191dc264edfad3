#!/usr/bin/env python3
"""Adds up what selection_bench says of worlds that several processes searched. usage: sum_selection.py OUT PART..."""
import json
import math
import sys


def summed_claims(parts):
    rows = {}
    for part in parts:
        for row in part["claims"]:
            total = rows.setdefault(row["scenario"], {"scenario": row["scenario"], "candidates": row["candidates"]})
            for key, value in row.items():
                weight = {"mean_loss_of_headlines": row["headlines"], "answers_a_world": row["worlds"],
                          "front_answers_a_world": row["worlds"]}.get(key, 1)
                if key == "missed":
                    old = total.setdefault(key, {})
                    total[key] = {cause: old.get(cause, 0) + count for cause, count in value.items()}
                elif key not in ("scenario", "candidates"):
                    total[key] = total.get(key, 0) + value * weight
    for row in rows.values():
        row["mean_loss_of_headlines"] /= max(1, row["headlines"])
        row["answers_a_world"] /= row["worlds"]
        row["front_answers_a_world"] = row.get("front_answers_a_world", 0) / row["worlds"]
    return list(rows.values())


def summed_races(parts, kind):
    sums = {}
    for part in parts:
        for row in part[kind]:
            total = sums.setdefault((row["problems"], row["retest_share"]), [0, 0, 0, 0])
            worlds = part["worlds"]
            squares = worlds * row["standard_error"] ** 2 + row["f1"] ** 2
            for i, value in enumerate((1, row["answers"], row["f1"], squares)):
                total[i] += worlds * value
    result = []
    for (problems, share), (worlds, answers, f1, squares) in sums.items():
        mean = f1 / worlds
        result.append({"problems": problems, "retest_share": share, "answers": answers / worlds, "f1": mean,
                       "standard_error": math.sqrt(max(0, squares / worlds - mean * mean) / worlds)})
    return result


def summed_laws(parts):
    sums = {}
    for part in parts:
        for row in part.get("one_law", []):
            total = sums.setdefault(row["evaluations_an_arm"], {"worlds": 0, "told_apart": 0, "beats": 0})
            total["worlds"] += part["worlds"]
            for key in ("told_apart", "beats"):
                total[key] += row[key]
    return [{"evaluations_an_arm": an_arm, **total} for an_arm, total in sums.items()]


def summed_best(parts):
    sums = {}
    for part in parts:
        for row in part.get("best_of_many", []):
            key = (row["law"], row["candidates"], row["alike"])
            total = sums.setdefault(key, dict(row, worlds=0, too_good_as_measured=0, too_good_shrunk=0,
                                              shrunk_intervals_that_cover=0))
            total["worlds"] += part["worlds"]
            total["shrunk_intervals_that_cover"] += row["shrunk_intervals_that_cover"]
            for key in ("too_good_as_measured", "too_good_shrunk"):
                total[key] += part["worlds"] * row[key]
    for total in sums.values():
        for key in ("too_good_as_measured", "too_good_shrunk"):
            total[key] /= total["worlds"]
    return list(sums.values())


def main():
    parts = [json.load(open(name)) for name in sys.argv[2:]]
    result = {"worlds": sum(part["worlds"] for part in parts),
              "first_seed": min(part["first_seed"] for part in parts),
              "claims": summed_claims(parts), "racing": summed_races(parts, "racing"),
              "even": summed_races(parts, "even"),
              "one_law": summed_laws(parts), "best_of_many": summed_best(parts)}
    with open(sys.argv[1], "w") as out:
        json.dump(result, out, indent=2)
        out.write("\n")


if __name__ == "__main__":
    main()
