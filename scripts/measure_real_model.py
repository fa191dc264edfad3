#!/usr/bin/env python3
"""What a real model does with the shipped tasks and policies: the tables of docs/benchmarks/real-model.md.

    scripts/measure_real_model.py MODEL [--vortex build/cuda/bin/vortex] [--workspace DIR] [--problems 16] [--quick]

Dense attention on four tasks by length; then block top-k and Quest at 8, 16 and 32 chosen pages on needles in prose at
2K, beside the oracle at the same budget. `--quick`: 1K alone, four problems. Prints Markdown. Python 3.11, nothing else.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TASKS = ["ruler_niah_single_1", "ruler_niah_single_2", "ruler_niah_multikey_1", "ruler_vt"]


def evaluate(arguments, policy, task, length, stages):
    command = [arguments.vortex, "eval", *map(str, policy), "--model", arguments.model, "--workspace", arguments.workspace,
               "--task", task, "--length", str(length), "--problems", str(arguments.problems), "--max-new-tokens", "32",
               "--stages", stages, "--format", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {m["name"]: m for stage in json.loads(done.stdout)["items"] for m in stage["metrics"]}


def shown(metric, digits=2):
    if metric is None:
        return "-"
    return f"{metric['value']:.{digits}f} [{metric['lo']:.{digits}f}, {metric['hi']:.{digits}f}]"


def dense_table(arguments):
    lengths = [1024] if arguments.quick else [1024, 2048, 4096]
    print("| task | " + " | ".join(f"{n // 1024}K" for n in lengths) + " |\n|---|" + "---|" * len(lengths))
    for task in TASKS:
        cells = [shown(evaluate(arguments, ["--dense"], task, n, "race").get("accuracy")) for n in lengths]
        print(f"| {task} | " + " | ".join(cells) + " |", flush=True)


def policy_table(arguments):
    names = ["accuracy", "oracle_accuracy", "answer_kl", "oracle_answer_kl", "mass_recall", "index_recall_chosen", "kl",
             "speedup_vs_dense"]
    print("\n| policy, pages | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("block_topk", "head_max_centroid", "fine_means", "quest"):
            for pages in ((8,) if arguments.quick else (8, 16, 32)):
                module, config = Path(folder) / f"{name}.py", Path(folder) / f"{name}.json"
                module.write_text((ROOT / "examples/policies" / f"{name}.py").read_text())
                values = json.loads((ROOT / "examples/policies" / f"{name}.json").read_text())
                values |= {"vortex_topk_val": pages, "vortex_layers_skip": []}
                config.write_text(json.dumps(values))
                metrics = evaluate(arguments, [module, config], "ruler_niah_single_2", 1024 if arguments.quick else 2048,
                                   "recall,race,speed")
                print(f"| {name} {pages} | " + " | ".join(shown(metrics.get(n), 3) for n in names) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--vortex", default=str(ROOT / "build/cuda/bin/vortex"))
    parser.add_argument("--workspace", default=".vortex")
    parser.add_argument("--problems", type=int, default=16)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.problems = 4
    dense_table(arguments)
    policy_table(arguments)
    print(file=sys.stderr)


main()
