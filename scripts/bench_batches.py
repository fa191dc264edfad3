#!/usr/bin/env python3
"""What the size of a batch does to the quality of a search over many workers, by batch_bench: means over worlds, and
95 % intervals of the difference to batches of as many as there are workers, paired by world.
usage: bench_batches.py LINES [WORLDS (10)] [WORKERS (256)]: reads LINES, one of batch_bench a line, where it is there;
else runs them and writes it."""
import json
import math
import os
import subprocess
import sys

BENCH = "build/cuda/bin/batch_bench"
EVALUATIONS = (64, 256, 512, 1024)
MINUTES = (2, 5, 10, 15)
EVALUATION_STEP = 64  # as in batch_bench
MINUTE_STEP = 0.5
T_95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 11: 2.20, 14: 2.14, 19: 2.09}


def modes(workers):
    yield 0, 0
    for batch in (1, 4, 16, 64, 256, 1024):
        yield batch, 0
    yield workers // 4, 1
    yield workers, 1


def run(path, worlds, workers):
    with open(path + ".part", "w") as out:
        for world in range(1, worlds + 1):
            for batch, lag in modes(workers):
                command = [BENCH, str(world), str(batch), str(lag), str(workers), str(EVALUATIONS[-1]), str(MINUTES[-1])]
                subprocess.run(command, stdout=out, check=True)
    os.rename(path + ".part", path)


def looks(line):
    """Quality at each of EVALUATIONS and MINUTES."""
    at = [line["by_evaluations"][count // EVALUATION_STEP - 1] for count in EVALUATIONS]
    return at + [line["by_minutes"][int(minute / MINUTE_STEP) - 1] for minute in MINUTES]


def mean(values):
    return sum(values) / len(values)


def half_width(values):
    if len(values) < 2:
        return float("nan")
    spread = math.sqrt(sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1))
    free = len(values) - 1
    return T_95[max(known for known in T_95 if known <= free)] * spread / math.sqrt(len(values))


def name_of(batch, lag):
    return "none" if batch == 0 else f"{batch}, overlapped" if lag else str(batch)


def main():
    path = sys.argv[1]
    if not os.path.exists(path):
        run(path, int(sys.argv[2]) if len(sys.argv) > 2 else 10, int(sys.argv[3]) if len(sys.argv) > 3 else 256)
    found = {}
    for text in open(path):
        line = json.loads(text)
        found.setdefault((line["batch"], line["lag"]), {})[line["world"]] = line
    workers = next(iter(next(iter(found.values())).values()))["workers"]
    base = found[(workers, 0)]
    worlds = sorted(set.intersection(*(set(lines) for lines in found.values())))
    print(f"{len(worlds)} worlds, {workers} workers; gain in hypervolume, and its difference to batches of {workers}\n")
    heads = [f"{count} evaluations" for count in EVALUATIONS] + [f"{minute} min" for minute in MINUTES]
    print("| batch | evaluations a minute | " + " | ".join(heads) + " |")
    print("|" + "---|" * (2 + len(heads)))
    for mode in sorted(found, key=lambda mode: (mode[0] == 0, mode)):
        lines = [found[mode][world] for world in worlds]
        cells = []
        for values in zip(*([a - b for a, b in zip(looks(line), looks(base[line["world"]]))] + looks(line)
                            for line in lines)):
            cells.append(values)
        half = len(cells) // 2
        told = []
        for difference, value in zip(cells[:half], cells[half:]):
            told.append(f"{mean(value):.2f}" + ("" if mode == (workers, 0) else
                                                f" ({mean(difference):+.2f} ± {half_width(difference):.2f})"))
        rate = mean([line["evaluations"] / line["minutes"] for line in lines])
        print(f"| {name_of(*mode)} | {rate:.1f} | " + " | ".join(told) + " |")


if __name__ == "__main__":
    main()
