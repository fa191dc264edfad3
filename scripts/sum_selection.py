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
                weight = {"mean_loss_of_headlines": row["headlines"], "answers_a_world": row["worlds"]}.get(key, 1)
                if key not in ("scenario", "candidates"):
                    total[key] = total.get(key, 0) + value * weight
    for row in rows.values():
        row["mean_loss_of_headlines"] /= max(1, row["headlines"])
        row["answers_a_world"] /= row["worlds"]
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


def main():
    parts = [json.load(open(name)) for name in sys.argv[2:]]
    result = {"worlds": sum(part["worlds"] for part in parts),
              "first_seed": min(part["first_seed"] for part in parts),
              "claims": summed_claims(parts), "racing": summed_races(parts, "racing"),
              "even": summed_races(parts, "even")}
    with open(sys.argv[1], "w") as out:
        json.dump(result, out, indent=2)
        out.write("\n")


if __name__ == "__main__":
    main()
