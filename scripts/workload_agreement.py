#!/usr/bin/env python3
"""Do the two ways of measuring a policy's speed-up agree? `vortex bench trace` times dense attention and the policy in
runs of their own, `vortex bench workload` (the ladder's speed stage) times both in turns in one process.
usage: workload_agreement.py VORTEX_BENCH [--policies DIR] [--tolerance 0.03] [--geometry G] [-- more options of both verbs]"""
import argparse
import json
import pathlib
import subprocess
import sys

# Policies of examples/policies with options for the budget: short answers attend all of a request, long ones a part.
POLICIES = [("block_topk", ["--ratio", "0.0625", "--dense-layers", "0"]),
            ("block_topk", ["--pages", "64"]),
            ("quest", ["--pages", "64"]),
            ("masked_quest", ["--ratio", "0.0625", "--dense-layers", "0"]),
            ("block_topk", ["--ratio", "0.0625", "--dense-layers", "0", "--kv", "fp8_e4m3"])]


def run(bench, verb, options):
    command = [bench, verb, "--format", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    lines = json.loads(done.stdout)["lines"]
    return {line["name"]: line["value"] for line in lines if "name" in line}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--policies", default="examples/policies")
    parser.add_argument("--tolerance", type=float, default=0.03)
    parser.add_argument("--seconds", default="12")
    arguments, shared = parser.parse_known_args()
    shared = [option for option in shared if option != "--"]
    dense = run(arguments.bench, "trace", [*shared, "--dense"])
    print(f"dense: {dense['decoding alone']:.0f} tok/s decoding, mean batch {dense['mean batch']:.1f}")
    print(f"{'policy':44} {'trace':>7} {'turns':>7} {'interval':>17} {'apart':>7} {'turns':>5} {'batch':>6}")
    worst = 0.0
    for name, budget in POLICIES:
        policy = ["--policy", str(pathlib.Path(arguments.policies) / f"{name}.py"), *budget]
        trace = run(arguments.bench, "trace", [*shared, *policy])
        turns = run(arguments.bench, "workload", [*shared, *policy, "--seconds", arguments.seconds])
        by_trace = trace["decoding alone"] / dense["decoding alone"]
        by_turns = turns["speed over dense"]
        apart = by_turns / by_trace - 1
        worst = max(worst, abs(apart))
        interval = f"[{turns['speed over dense, from']:.3f}, {turns['speed over dense, to']:.3f}]"
        print(f"{name + ' ' + ' '.join(budget):44.44} {by_trace:7.3f} {by_turns:7.3f} {interval:>17} {apart:+7.1%} "
              f"{turns['turns']:5.0f} {turns['mean batch']:6.1f}", flush=True)
    print(f"at most {worst:.1%} apart; {arguments.tolerance:.0%} are allowed")
    return 0 if worst <= arguments.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
