#!/usr/bin/env python3
"""usage: keep_results.py WORKSPACE RUN > results.json
The stage results of a finished search, by the SHA-256 of each candidate's module and configuration, a line each: what the
test of the recorded search puts in place of workers."""
import hashlib
import json
import sqlite3
import sys
from pathlib import Path

workspace, run = Path(sys.argv[1]), sys.argv[2]
db = sqlite3.connect(f"file:{workspace}/vortex.db?mode=ro", uri=True)
db.row_factory = sqlite3.Row


def source(name):
    return (workspace / "objects" / name[:2] / name).read_bytes() if name else b""


def stages(candidate):
    last = {}  # the last attempt at a stage counts
    for row in db.execute("SELECT * FROM stage WHERE candidate = ? AND stage NOT IN ('check', 'novelty') ORDER BY attempt, id", (candidate,)):
        evidence = json.loads(row["evidence"])
        kept = {"stage": row["stage"], "verdict": row["verdict"], "message": row["message"], "metrics": json.loads(row["metrics"]), "seconds": 1.0}
        kept["evidence"] = {key: evidence[key] for key in ("mass_per_layer", "model_hash") if key in evidence}
        if row["blame"]:
            kept["blame"] = row["blame"]
        where = (candidate, row["attempt"], row["stage"])
        kept["outcomes"] = [
            {key: bool(outcome[key]) if key == "correct" else outcome[key] for key in ("problem", "trial", "correct", "tokens", "rule", "extracted")} | {"tokens_hash": outcome["tokens_hash"][:8]}
            for outcome in db.execute("SELECT * FROM outcome WHERE candidate = ? AND attempt = ? AND stage = ? ORDER BY problem, trial", where)
        ]
        last[row["stage"]] = kept
    return list(last.values())


results = {}
for row in db.execute("SELECT candidate.* FROM candidate JOIN run ON run.id = candidate.run WHERE run.name = ? OR run.id = ? ORDER BY candidate.id", (run, run)):
    kept = stages(row["id"])
    if kept:
        key = "dense" if row["origin"] == "dense" else hashlib.sha256(source(row["module_object"]) + b"\0" + source(row["config_object"])).hexdigest()
        results[key] = kept
lines = [f'"{key}": ' + json.dumps(kept, separators=(",", ":"), sort_keys=True) for key, kept in sorted(results.items())]
print("{\n" + ",\n".join(lines) + "\n}")
