#!/usr/bin/env python3
"""What a real model does with the shipped tasks and policies: the tables of docs/benchmarks/real-model.md.

    scripts/measure_real_model.py run MODEL OUT.json [--tables dense policies] [--vortex build/cuda/bin/vortex]
    scripts/measure_real_model.py table OUT.json [MORE.json ...]

`run` measures dense attention on four tasks by length (`dense`), and four policies at 8, 16 and 32 chosen pages on needles
in prose at 2K, in all layers (`policies`) and with the first two layers dense (`skipping`), beside the oracle at the same
budget; one that was cut off goes on where it stopped. `--quick`: 1K alone, four problems, one budget. `table` prints
Markdown. Python 3.11, nothing else.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LENGTHS = {"ruler_niah_single_1": [1024, 2048, 4096, 8192], "ruler_niah_single_2": [1024, 2048, 4096, 8192],
           "ruler_niah_multikey_1": [1024, 2048, 4096], "ruler_vt": [2048, 4096]}
FEWER = {8192: 8}  # problems, where a prompt takes long to read
POLICIES = ("block_topk", "quest", "head_max_centroid", "fine_means")
SKIPPED = {"policies": [], "skipping": [0, 1]}  # layers left dense
COLUMNS = ["accuracy", "oracle_accuracy", "answer_kl", "oracle_answer_kl", "mass_recall", "index_recall_chosen",
           "next_token_agreement", "kl", "speedup_vs_dense"]


def evaluate(arguments, policy, task, length, problems, stages):
    command = [arguments.vortex, "eval", *map(str, policy), "--model", arguments.model, "--workspace", arguments.workspace,
               "--task", str(ROOT / f"examples/tasks/{task}.json"), "--length", str(length), "--problems", str(problems), "--max-new-tokens", "32",
               "--threads", str(arguments.threads), "--device", arguments.device, "--stages", stages, "--format", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {m["name"]: [m["value"], m["lo"], m["hi"]] for s in json.loads(done.stdout)["items"] for m in s["metrics"]}


def dense_cells(arguments):
    for length in [1024] if arguments.quick else [1024, 2048, 4096, 8192]:
        for task, lengths in LENGTHS.items():
            if length in lengths:
                problems = min(arguments.problems, FEWER.get(length, arguments.problems))
                yield f"{task} {length}", (["--dense"], task, length, problems, "race")


def policy_cells(arguments, table, folder):
    for pages in (8,) if arguments.quick else (8, 16, 32):
        for name in POLICIES:
            module, config = folder / f"{name}.py", folder / f"{name}.json"
            module.write_text((ROOT / "examples/policies" / f"{name}.py").read_text())
            values = json.loads((ROOT / "examples/policies" / f"{name}.json").read_text())
            values |= {"vortex_topk_val": pages, "vortex_layers_skip": SKIPPED[table]}
            config.write_text(json.dumps(values))
            length = 1024 if arguments.quick else 2048
            yield f"{name} {pages}", ([module, config], "ruler_niah_single_2", length, 2 * arguments.problems,
                                      "recall,race,speed")


def run(arguments):
    if arguments.quick:
        arguments.problems = 4
    out = Path(arguments.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for table in arguments.tables:
            rows = results.setdefault(table, {})
            cells = dense_cells(arguments) if table == "dense" else policy_cells(arguments, table, Path(folder))
            for key, what in cells:
                if key in rows:
                    continue
                rows[key] = evaluate(arguments, *what)
                out.write_text(json.dumps(results))
                print(table, key, rows[key].get("accuracy"), file=sys.stderr)


def shown(values, digits):
    return "-" if values is None else "{:.{d}f} [{:.{d}f}, {:.{d}f}]".format(*values, d=digits)


def print_dense(rows):
    lengths = [1024, 2048, 4096, 8192]
    print("\n| dense attention, right | " + " | ".join(f"{n // 1024}K" for n in lengths) + " |\n|---|" + "---|" * 4)
    for task in LENGTHS:
        print(f"| {task} | " + " | ".join(shown(rows.get(f"{task} {n}", {}).get("accuracy"), 2) for n in lengths) + " |")


def table(arguments):
    for file in arguments.out:
        for name, rows in json.loads(Path(file).read_text()).items():
            if name == "dense":
                print_dense(rows)
                continue
            print(f"\n| policy, pages; dense layers: {SKIPPED[name] or 'none'} | " + " | ".join(COLUMNS) + " |\n|---|"
                  + "---|" * len(COLUMNS))
            for key, metrics in rows.items():
                print(f"| {key} | " + " | ".join(shown(metrics.get(column), 3) for column in COLUMNS) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("run")
    verb.add_argument("model")
    verb.add_argument("out")
    verb.add_argument("--tables", nargs="*", choices=["dense", "policies", "skipping"], default=["dense", "policies"])
    verb.add_argument("--vortex", default=str(ROOT / "build/cuda/bin/vortex"))
    verb.add_argument("--workspace", default=".vortex")
    verb.add_argument("--problems", type=int, default=16, help="policies get twice as many")
    verb.add_argument("--threads", type=int, default=2)
    verb.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda decodes in bfloat16")
    verb.add_argument("--quick", action="store_true")
    verb.set_defaults(action=run)
    verb = verbs.add_parser("table")
    verb.add_argument("out", nargs="+")
    verb.set_defaults(action=table)
    arguments = parser.parse_args()
    arguments.action(arguments)


main()
