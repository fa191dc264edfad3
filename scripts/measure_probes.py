#!/usr/bin/env python3
"""What a look at the right answers says of accuracy: forty policies on two tasks of a real model, and what predicts what.

    scripts/measure_probes.py run MODEL OUT.json [--vortex build/cuda/bin/vortex] [--workspace DIR] [--share 1/4]
    scripts/measure_probes.py table OUT.json [MORE.json ...]

`run` takes every policy through the recall and race stages (scores of examples/policies, budgets from 1 to 32 pages) and
keeps each problem's answer and probe; a run that was cut off goes on where it stopped. `--share 1/4` does every fourth
policy, so that four machines do all. `table` prints, as Markdown, the rank correlation with accuracy on other problems,
and how many problems a race needs. Python 3.11, nothing else.
"""
import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGETS = {"block_topk": [2, 4, 8, 16, 32], "head_max_centroid": [2, 4, 8, 16, 32], "gqa_softmax_centroid": [2, 4, 8, 16],
           "quest": [4, 8, 16, 32], "lserve_subblock": [4, 8, 16, 32], "value_energy_gate": [4, 8, 16],
           "running_average": [4, 8, 16], "fine_means:2": [2, 4, 8, 16], "fine_means:4": [2, 4, 8, 16],
           "fine_means:8": [1, 2, 4, 8]}
TASKS = {"needles in prose, 2K": ("ruler_niah_single_2", 2048),
         "needles in prose, 1K": ("ruler_niah_single_2", 1024),
         "needles in noise, 2K": ("ruler_niah_single_1", 2048)}
NEW_TOKENS = 24
STAGE_PROBES = {"mass_recall": 1, "next_token_agreement": 1, "kl": -1}  # of the recall stage's two problems, and their sign
STAGE_PROBLEMS = 2


def policy_files(name, budget, folder):
    """The example of that name at another budget, dense in no layer; "fine_means:4" sets its PARTS."""
    stem, _, parts = name.partition(":")
    module = (ROOT / "examples/policies" / f"{stem}.py").read_text()
    if parts:
        module = re.sub(r"PARTS = \d+", f"PARTS = {parts}", module)
    config = json.loads((ROOT / "examples/policies" / f"{stem}.json").read_text())
    config |= {"vortex_topk_val": budget, "vortex_layers_skip": []}
    config.pop("vortex_topk_ratio", None)
    config.pop("vortex_schedule_policy", None)
    paths = folder / f"{stem}.py", folder / f"{stem}.json"
    paths[0].write_text(module)
    paths[1].write_text(json.dumps(config))
    return paths


def evaluate(arguments, task, policy):
    name, length = TASKS[task]
    command = [arguments.vortex, "eval", *map(str, policy), "--model", arguments.model, "--workspace", arguments.workspace,
               "--task", str(ROOT / f"examples/tasks/{name}.json"), "--length", str(length), "--problems", str(arguments.problems), "--max-new-tokens", str(NEW_TOKENS), "--format", "json",
               "--stages", "recall,race", "--no-ceiling", "--threads", str(arguments.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["items"]}
    right = {o["problem"]: o["correct"] for o in stages.get("race", {}).get("outcomes", [])}
    metrics = {m["name"]: m["value"] for m in stages["recall"]["metrics"]}
    answers = stages["recall"]["evidence"].get("answers", [])
    race = stages.get("race", {}).get("evidence", {})
    bytes_read = race.get("kv_bytes_read", 0) / max(1, race.get("decode_tokens", 0))
    return {"seconds": {name: stage["seconds"] for name, stage in stages.items()}, "metrics": metrics,
            "kv_bytes_a_token": bytes_read,
            "problems": [{"right": right[a["problem"]], **{k: a[k] for k in ("log_likelihood", "kl", "match")}}
                         for a in answers if a["problem"] in right] or [{"right": r} for r in right.values()]}


def own_share(share):
    """What this run measures: dense attention, and every so-many-th policy."""
    policies = [(name, budget) for name in BUDGETS for budget in BUDGETS[name]]
    number, of = map(int, share.split("/"))
    return [("dense", 0)] + policies[number - 1::of]


def run(arguments):
    out = Path(arguments.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for task in arguments.tasks or TASKS:
            rows = results.setdefault(task, {})
            for name, budget in own_share(arguments.share):
                key = f"{name} {budget}"
                if key in rows:
                    continue
                policy = ["--dense"] if name == "dense" else policy_files(name, budget, Path(folder))
                rows[key] = evaluate(arguments, task, policy)
                out.write_text(json.dumps(results))
                problems = rows[key]["problems"]
                print(task, key, sum(p["right"] for p in problems), "of", len(problems), rows[key]["seconds"],
                      file=sys.stderr)


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    at = 0
    while at < len(order):
        end = at
        while end < len(order) and values[order[end]] == values[order[at]]:
            end += 1
        for i in range(at, end):
            result[order[i]] = (at + end - 1) / 2
        at = end
    return result


def rank_correlation(x, y):
    a, b = ranks(x), ranks(y)
    mean = (len(a) - 1) / 2
    covariance = sum((p - mean) * (q - mean) for p, q in zip(a, b))
    spread = (sum((p - mean) ** 2 for p in a) * sum((q - mean) ** 2 for q in b)) ** 0.5
    return covariance / spread if spread else 0.0


def mean(values):
    values = list(values)
    return sum(values) / len(values)


PROBES = {"answers right": lambda p: p["right"], "right answer would be written": lambda p: p["match"],
          "log likelihood of the right answer": lambda p: p["log_likelihood"], "KL on its tokens": lambda p: -p["kl"]}


def accuracy_on(row, without):
    return mean(p["right"] for i, p in enumerate(row["problems"]) if i not in without)


def correlations(policies, m, draws, rng):
    """Rank correlation of each probe from m problems with accuracy on the others, one for each draw of m problems; with
    every draw the policies are drawn anew as well (with replacement) for the second list, the bootstrap's."""
    found = {name: ([], []) for name in PROBES}
    problems = len(policies[0]["problems"])
    for _ in range(draws):
        chosen = set(rng.sample(range(problems), m))
        truth = [accuracy_on(r, chosen) for r in policies]
        again = [rng.randrange(len(policies)) for _ in policies]
        for name, probe in PROBES.items():
            seen = [mean(probe(r["problems"][i]) for i in chosen) for r in policies]
            found[name][0].append(rank_correlation(seen, truth))
            found[name][1].append(rank_correlation([seen[i] for i in again], [truth[i] for i in again]))
    return found


def stage_correlations(policies, draws, rng):
    """The same of the recall stage's own metrics, which are from its first two problems."""
    first = set(range(STAGE_PROBLEMS))
    truth = [accuracy_on(r, first) for r in policies]
    found = {}
    for name, sign in STAGE_PROBES.items():
        seen = [sign * r["metrics"][name] for r in policies]
        drawn = []
        for _ in range(draws):
            again = [rng.randrange(len(policies)) for _ in policies]
            drawn.append(rank_correlation([seen[i] for i in again], [truth[i] for i in again]))
        found[name] = ([rank_correlation(seen, truth)], drawn)
    return found


def with_interval(both):
    values, drawn = both[0], sorted(both[1])
    at = lambda share: drawn[min(len(drawn) - 1, int(share * len(drawn)))]
    return f"{mean(values):.2f} [{at(0.025):.2f}, {at(0.975):.2f}]"


def controlled(problems, chosen):
    """Accuracy from the graded answers to `chosen`, and from what forcing right answers tells of all problems."""
    return mean(p["match"] for p in problems) + mean(problems[i]["right"] - problems[i]["match"] for i in chosen)


def wrong_order(rows, m, draws, rng):
    """Pairs of policies 5 to 25 points apart: how often each probe from m problems ranks the worse one first."""
    policies = [r["problems"] for key, r in rows.items() if not key.startswith("dense")]
    accuracy = [mean(p["right"] for p in problems) for problems in policies]
    pairs = [(i, j) for i in range(len(policies)) for j in range(len(policies))
             if 0.05 <= accuracy[i] - accuracy[j] <= 0.25]
    seen_by = {name: lambda problems, chosen, probe=probe: mean(probe(problems[i]) for i in chosen)
               for name, probe in PROBES.items()}
    seen_by["graded answers, with forced ones of all problems as control variate"] = controlled
    found = {name: [] for name in seen_by}
    for _ in range(draws):
        chosen = rng.sample(range(len(policies[0])), m)
        for name, seen_of in seen_by.items():
            seen = [seen_of(problems, chosen) for problems in policies]
            found[name].append(mean(1.0 if seen[i] < seen[j] else 0.5 if seen[i] == seen[j] else 0.0 for i, j in pairs))
    return {name: mean(values) for name, values in found.items()}, len(pairs)


def merged(files):
    results = {}
    for file in files:
        for task, rows in json.loads(Path(file).read_text()).items():
            results.setdefault(task, {}).update(rows)
    return results


def print_task(task, rows, draws, rng):
    policies = [r for key, r in rows.items() if not key.startswith("dense")]
    accuracy = [accuracy_on(r, ()) for r in policies]
    count = len(rows["dense 0"]["problems"])
    print(f"\n{task}: {len(policies)} policies, {count} problems, dense attention right in "
          f"{accuracy_on(rows['dense 0'], ()):.2f}, policies in {min(accuracy):.2f} to {max(accuracy):.2f}\n")
    print("| rank correlation with accuracy on other problems, from m problems | "
          + " | ".join(PROBES) + " |\n|---|" + "---|" * len(PROBES))
    for m in (m for m in (1, 2, 4, 8, 16) if 2 * m <= count):
        found = correlations(policies, m, draws, rng)
        print(f"| {m} | " + " | ".join(map(with_interval, found.values())) + " |")
    found = stage_correlations(policies, draws, rng)
    print("\nOf the recall stage's metrics, from its two problems: "
          + ", ".join(f"{name} {with_interval(both)}" for name, both in found.items()))
    pairs = 0
    for m in (m for m in (1, 2, 3, 4, 6, 8, 12, 16) if m <= count):
        row, pairs = wrong_order(rows, m, draws, rng)
        if m == 1:
            print("\n| wrong order of two policies 5 to 25 points apart, from m problems | " + " | ".join(row)
                  + " |\n|---|" + "---|" * len(row))
        print(f"| {m} | " + " | ".join(f"{v:.3f}" for v in row.values()) + " |")
    seconds = {name: mean(r["seconds"].get(name, 0) for r in policies) for name in ("recall", "race")}
    print(f"\n({pairs} pairs; mean seconds: recall {seconds['recall']:.1f}, race {seconds['race']:.1f})")


def print_policies(task, rows):
    print(f"\n| {task}: policy, pages | right | answer KL | log likelihood | mass | KB of K, V and summaries a token |"
          "\n|---|---|---|---|---|---|")
    for key, row in rows.items():
        m = row["metrics"]
        print(f"| {key} | {accuracy_on(row, ()):.2f} | {m.get('answer_kl', 0):.3f} | "
              f"{m.get('answer_log_likelihood', 0):.3f} | {m['mass_recall']:.3f} | "
              f"{row.get('kv_bytes_a_token', 0) / 1024:.0f} |")


def table(arguments):
    rng = random.Random(1)
    for task, rows in merged(arguments.out).items():
        complete = {key: r for key, r in rows.items() if all("kl" in p for p in r["problems"]) or key == "dense 0"}
        if "dense 0" not in complete or len(complete) < 4:
            print(f"\n{task}: {len(complete)} of the policies are measured, too few for a table")
            continue
        print_task(task, complete, arguments.draws, rng)
        print_policies(task, complete)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("run")
    verb.add_argument("model")
    verb.add_argument("out")
    verb.add_argument("--vortex", default=str(ROOT / "build/cuda/bin/vortex"))
    verb.add_argument("--workspace", default=".vortex")
    verb.add_argument("--problems", type=int, default=32)
    verb.add_argument("--threads", type=int, default=2)
    verb.add_argument("--share", default="1/1", help="which part of how many")
    verb.add_argument("--tasks", nargs="*", choices=list(TASKS), help="all")
    verb.set_defaults(action=run)
    verb = verbs.add_parser("table")
    verb.add_argument("out", nargs="+")
    verb.add_argument("--draws", type=int, default=200)
    verb.set_defaults(action=table)
    arguments = parser.parse_args()
    arguments.action(arguments)


main()
