#!/usr/bin/env python3
"""What a look at the right answers says of accuracy: forty policies on two tasks of a real model, and what predicts what.

    scripts/measure_probes.py run MODEL OUT.json [--vortex build/cuda/bin/vortex] [--workspace DIR]
    scripts/measure_probes.py table OUT.json

`run` takes every policy through the recall and race stages (scores of examples/policies, budgets from 1 to 32 pages) and
keeps each problem's answer and probe; a run that was cut off goes on where it stopped. `table` prints, as Markdown, the
rank correlation with accuracy on other problems, and how many problems a race needs. Python 3.11, nothing else.
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
TASKS = {"needles in prose, 1K": ["--task", "ruler_niah_single_2", "--length", "1024"],
         "needles in noise, 1K": ["--task", "ruler_niah_single_1", "--length", "1024"]}
PROBLEMS, NEW_TOKENS = 32, 24


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
    command = [arguments.vortex, "eval", *map(str, policy), "--model", arguments.model, "--workspace", arguments.workspace,
               *TASKS[task], "--problems", str(PROBLEMS), "--max-new-tokens", str(NEW_TOKENS), "--format", "json",
               "--stages", "recall,race", "--no-ceiling"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    stages = {stage["stage"]: stage for stage in json.loads(done.stdout)["items"]}
    right = {o["problem"]: o["correct"] for o in stages.get("race", {}).get("outcomes", [])}
    metrics = {m["name"]: m["value"] for m in stages["recall"]["metrics"]}
    answers = stages["recall"]["evidence"].get("answers", [])
    return {"seconds": {name: stage["seconds"] for name, stage in stages.items()}, "metrics": metrics,
            "problems": [{"right": right[a["problem"]], **{k: a[k] for k in ("log_likelihood", "kl", "match")}}
                         for a in answers if a["problem"] in right] or [{"right": r} for r in right.values()]}


def run(arguments):
    out = Path(arguments.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for task in TASKS:
            rows = results.setdefault(task, {})
            wanted = [("dense", 0)] + [(name, budget) for name in BUDGETS for budget in BUDGETS[name]]
            for name, budget in wanted:
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


def predictions(rows, m, draws, rng):
    """Mean rank correlation of each probe from m problems with accuracy on the others."""
    policies = [r for key, r in rows.items() if not key.startswith("dense")]
    found = {name: [] for name in PROBES}
    problems = len(policies[0]["problems"])
    for _ in range(draws):
        chosen = set(rng.sample(range(problems), m))
        truth = [mean(p["right"] for i, p in enumerate(r["problems"]) if i not in chosen) for r in policies]
        for name, probe in PROBES.items():
            seen = [mean(probe(r["problems"][i]) for i in chosen) for r in policies]
            found[name].append(rank_correlation(seen, truth))
    return {name: mean(values) for name, values in found.items()}


def wrong_order(rows, m, draws, rng):
    """Pairs of policies 5 to 25 points apart: how often each probe from m problems ranks the worse one first."""
    policies = [r["problems"] for key, r in rows.items() if not key.startswith("dense")]
    accuracy = [mean(p["right"] for p in problems) for problems in policies]
    pairs = [(i, j) for i in range(len(policies)) for j in range(len(policies))
             if 0.05 <= accuracy[i] - accuracy[j] <= 0.25]
    found = {name: [] for name in PROBES}
    for _ in range(draws):
        chosen = rng.sample(range(len(policies[0])), m)
        for name, probe in PROBES.items():
            seen = [mean(probe(problems[i]) for i in chosen) for problems in policies]
            found[name].append(mean(1.0 if seen[i] < seen[j] else 0.5 if seen[i] == seen[j] else 0.0 for i, j in pairs))
    return {name: mean(values) for name, values in found.items()}, len(pairs)


def table(arguments):
    results = json.loads(Path(arguments.out).read_text())
    rng = random.Random(1)
    for task, rows in results.items():
        policies = {key: r for key, r in rows.items() if not key.startswith("dense")}
        accuracy = [mean(p["right"] for p in r["problems"]) for r in policies.values()]
        dense = mean(p["right"] for p in rows["dense 0"]["problems"])
        print(f"\n{task}: {len(policies)} policies, dense attention right in {dense:.2f}, policies in "
              f"{min(accuracy):.2f} to {max(accuracy):.2f}\n")
        print("| rank correlation with accuracy on other problems, from m problems | "
              + " | ".join(PROBES) + " |\n|---|" + "---|" * len(PROBES))
        count = len(rows["dense 0"]["problems"])
        for m in (m for m in (1, 2, 4, 8, 16) if 2 * m <= count):
            row = predictions(rows, m, arguments.draws, rng)
            print(f"| {m} | " + " | ".join(f"{v:.2f}" for v in row.values()) + " |")
        for name in ("mass_recall", "next_token_agreement", "kl"):
            sign = -1 if name == "kl" else 1
            seen = [sign * r["metrics"][name] for r in policies.values()]
            print(f"\n{name} of the recall stage (2 problems): {rank_correlation(seen, accuracy):.2f}", end="")
        print("\n\n| wrong order of two policies 5 to 25 points apart, from m problems | "
              + " | ".join(PROBES) + " |\n|---|" + "---|" * len(PROBES))
        for m in (m for m in (1, 2, 3, 4, 6, 8, 12, 16) if m <= count):
            row, pairs = wrong_order(rows, m, arguments.draws, rng)
            print(f"| {m} | " + " | ".join(f"{v:.3f}" for v in row.values()) + " |")
        print(f"\n({pairs} pairs)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("run")
    verb.add_argument("model")
    verb.add_argument("out")
    verb.add_argument("--vortex", default=str(ROOT / "build/cuda/bin/vortex"))
    verb.add_argument("--workspace", default=".vortex")
    verb.set_defaults(action=run)
    verb = verbs.add_parser("table")
    verb.add_argument("out")
    verb.add_argument("--draws", type=int, default=200)
    verb.set_defaults(action=table)
    arguments = parser.parse_args()
    arguments.action(arguments)


main()
