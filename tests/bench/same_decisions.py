#!/usr/bin/env python3
"""Compares the decisions of two searches, row for row: candidates with their lineage, stages, answers and events.

What a clock tells (seconds, times of creation) is left out; of a stage's metrics and evidence nothing is. Says the first
row of each table that differs, and how many rows were compared. Exit code 1 where any differs.

usage: same_decisions.py WORKSPACE WORKSPACE
"""
import pathlib
import sqlite3
import sys
from itertools import zip_longest

TABLES = {
    "candidate": "SELECT id, run, batch, slot, draw, key, program_hash, module_object, config_object, origin, "
                 "rationale, state, verdict, arm FROM candidate ORDER BY id",
    "lineage": "SELECT child, parent, operation FROM lineage ORDER BY child, parent",
    "stage": "SELECT candidate, attempt, stage, verdict, blame, message, metrics, evidence, log_tail FROM stage "
             "ORDER BY candidate, stage, attempt",
    "outcome": "SELECT candidate, attempt, stage, problem, trial, correct, tokens, extracted, rule, tokens_hash "
               "FROM outcome ORDER BY candidate, attempt, stage, problem, trial",
    "event": "SELECT run, kind, detail FROM event ORDER BY id",
}


def rows(workspace, query):
    database = sqlite3.connect(f"file:{pathlib.Path(workspace) / 'vortex.db'}?mode=ro", uri=True)
    return database.execute(query)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    differ = False
    for table, query in TABLES.items():
        compared = 0
        for a, b in zip_longest(rows(sys.argv[1], query), rows(sys.argv[2], query)):
            compared += 1
            if a != b:
                differ = True
                print(f"{table}: row {compared} differs\n  {a}\n  {b}")
                break
        else:
            print(f"{table}: {compared} rows, all the same")
    sys.exit(1 if differ else 0)


main()
