#!/usr/bin/env python3
"""What searches cost: candidates judged an hour and the seconds of each stage, a table for each workspace.
usage: search_rate.py [--json FILE] [--busy FILE GPU] NAME=WORKSPACE...
--busy: a log of `nvidia-smi --query-gpu=timestamp,index,utilization.gpu --format=csv,noheader,nounits -lms 200`, and the
index of the GPU in it that the searches ran on: tells how busy it was between a run's first stage and its last.
A candidate is judged when the ladder has ended for it, by whatever verdict but an error."""
import argparse
import collections
import datetime
import json
import sqlite3
import statistics


def rows(workspace, query, *values):
    with sqlite3.connect(f"file:{workspace}/vortex.db?mode=ro", uri=True) as connection:
        return connection.execute(query, values).fetchall()


def cost_of(workspace):
    run, seconds = rows(workspace, "SELECT id, seconds_used FROM run ORDER BY id DESC LIMIT 1")[0]
    judged = rows(workspace, "SELECT count(*) FROM candidate WHERE run = ? AND verdict NOT IN ('', 'error')", run)[0][0]
    errors = rows(workspace, "SELECT count(*) FROM candidate WHERE run = ? AND verdict = 'error'", run)[0][0]
    stages = collections.defaultdict(list)
    began, ended = [], []
    for stage, spent, created in rows(
            workspace, "SELECT stage, seconds, created FROM stage WHERE candidate IN "
            "(SELECT id FROM candidate WHERE run = ?)", run):
        stages[stage].append(spent)
        began.append(created - spent)
        ended.append(created)
    last = max(ended, default=0)
    first = min(began, default=0)
    span = last - first
    return {
        "judged": judged,
        "errors": errors,
        "seconds": seconds,
        "first_to_last_stage_seconds": span,
        "first": first,
        "last": last,
        "judged_an_hour": 3600 * judged / span if span > 0 else 0,
        "stages": {name: {"count": len(values), "mean": statistics.mean(values), "median": statistics.median(values)}
                   for name, values in stages.items()},
        "in_stages": sum(sum(values) for values in stages.values()) / span if span > 0 else 0,
    }


def busy_between(path, gpu, first, last):
    shares = []
    with open(path) as log:
        for line in log:
            parts = [part.strip() for part in line.split(",")]
            if len(parts) != 3 or parts[1] != gpu or not parts[2].isdigit():
                continue
            at = datetime.datetime.strptime(parts[0], "%Y/%m/%d %H:%M:%S.%f").timestamp()
            if first <= at <= last:
                shares.append(int(parts[2]))
    return statistics.mean(shares) if shares else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json")
    parser.add_argument("--busy", nargs=2, metavar=("FILE", "GPU"))
    parser.add_argument("workspaces", nargs="+")
    options = parser.parse_args()
    found = {}
    for argument in options.workspaces:
        name, workspace = argument.split("=", 1)
        cost = found[name] = cost_of(workspace)
        if options.busy:
            cost["busy_percent"] = busy_between(*options.busy, cost["first"], cost["last"])
        print(f"{name}: {cost['judged']} judged, {cost['errors']} errors in "
              f"{cost['first_to_last_stage_seconds']:.0f} s: {cost['judged_an_hour']:.0f} an hour; "
              f"{100 * cost['in_stages']:.0f} % of the time in stages"
              + (f"; GPU {cost['busy_percent']:.0f} % busy" if cost.get("busy_percent") is not None else ""))
        for stage, values in cost["stages"].items():
            print(f"  {stage:9} {values['count']:4} times  mean {values['mean']:8.2f} s  median {values['median']:8.2f} s")
    if options.json:
        with open(options.json, "w") as out:
            json.dump(found, out, indent=1)


if __name__ == "__main__":
    main()
