#!/usr/bin/env python3
"""Disturbs a small search at system calls drawn from a seed, and resumes it until it ends: its rows must be those of a
search that nobody disturbed, its database whole, no process and no stray file left.

usage: schedules.py FAULTY_SEARCH FAULTY_CALLS_SO [SCHEDULES (20)] [FIRST_SEED (1)]
"""
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

DISTURBED = 12  # sittings of a schedule that are disturbed; the next ones are not
SITTINGS = 16
ROWS = [
    "SELECT batch, slot, draw, key, program_hash, module_object, config_object, origin, state, verdict FROM candidate "
    "ORDER BY batch, slot, draw",
    "SELECT c.batch, c.slot, c.draw, p.batch, p.slot, p.draw, operation FROM lineage "
    "JOIN candidate c ON c.id = child JOIN candidate p ON p.id = parent ORDER BY 1, 2, 3, 4, 5, 6",
    # Of several attempts the last one counts; those that the machine spoiled are no results.
    "SELECT batch, slot, draw, stage, s.verdict, blame, message, MAX(attempt) IS NULL FROM stage s "
    "JOIN candidate c ON c.id = s.candidate WHERE blame <> 'environment' GROUP BY s.candidate, stage "
    "ORDER BY batch, slot, draw, stage",
    "SELECT batch, slot, draw, stage, problem, trial, correct, tokens_hash FROM outcome o "
    "JOIN candidate c ON c.id = o.candidate WHERE attempt = (SELECT MAX(attempt) FROM stage s "
    "WHERE s.candidate = o.candidate AND s.stage = o.stage AND blame <> 'environment') "
    "ORDER BY 1, 2, 3, 4, 5, 6",
    "SELECT state FROM run",
]
KEPT = re.compile(r"vortex\.db(-wal|-shm)?|search\.lock|objects/[0-9a-f]{2}/[0-9a-f]{64}")


def sit(program, shim, workspace, seed):
    env = {"PATH": os.environ["PATH"], "HOME": workspace}
    if seed:
        env.update(LD_PRELOAD=shim, VORTEX_FAULT_SEED=str(seed), VORTEX_FAULT_EVERY="300")
    done = subprocess.run([program, workspace], env=env, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


def rows(workspace):
    with contextlib.closing(sqlite3.connect(os.path.join(workspace, "vortex.db"))) as database:
        return [database.execute(query).fetchall() for query in ROWS]


def faults_of(workspace, clean):
    with contextlib.closing(sqlite3.connect(os.path.join(workspace, "vortex.db"))) as database:
        whole = database.execute("PRAGMA integrity_check").fetchall()
        if whole != [("ok",)]:
            return [f"integrity_check says {whole}"]
    found = []
    for wanted, got in zip(clean, rows(workspace)):
        if wanted != got:
            first = next((pair for pair in zip(wanted, got) if pair[0] != pair[1]), (len(wanted), len(got)))
            found.append(f"other rows: {first}")
    for folder, _, files in os.walk(workspace):
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), workspace)
            if not KEPT.fullmatch(path):
                found.append(f"stray file {path}")
    scratch = os.path.join(workspace, "scratch")
    if os.path.isdir(scratch) and os.listdir(scratch):
        found.append(f"scratch folders left: {os.listdir(scratch)}")
    marked = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid() and holds(pid, workspace)]
    if marked:
        found.append(f"processes left: {[command_of(pid) for pid in marked]}")
    return found


def holds(pid, workspace):
    """Does a process work in the workspace, or have a file of it open?"""
    try:
        links = [f"/proc/{pid}/cwd"] + [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
        return any(os.readlink(link).startswith(workspace) for link in links)
    except OSError:
        return False  # it ended meanwhile


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return pid + " " + file.read().replace("\0", " ")
    except OSError:
        return pid


def main():
    program, shim = map(os.path.abspath, sys.argv[1:3])
    schedules = int(sys.argv[3]) if len(sys.argv) > 3 else 20
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    folder = tempfile.mkdtemp(prefix="vortex-faults-")
    failures = 0
    killed = refused = sittings = 0
    try:
        clean_space = os.path.join(folder, "clean")
        code, log = sit(program, shim, clean_space, 0)
        assert code == 0, log
        clean = rows(clean_space)
        for seed in range(first, first + schedules):
            workspace = os.path.join(folder, f"s{seed}")
            for sitting in range(SITTINGS):
                disturb = seed * 1000 + sitting if sitting < DISTURBED else 0
                code, log = sit(program, shim, workspace, disturb)
                sittings += 1
                killed += code == -9
                refused += code == 3
                if code == 0:
                    break
                if code not in (3, -9) or (not disturb and sitting > DISTURBED):
                    print(f"seed {seed}, sitting {sitting}: exit code {code}: {log}")
                    failures += 1
                    break
            found = faults_of(workspace, clean)
            for fault in found:
                print(f"seed {seed}: {fault}")
            failures += bool(found)
            shutil.rmtree(workspace)
            if os.environ.get("VORTEX_FAULTS_TELL"):
                print(f"seed {seed}: {sitting + 1} sittings", flush=True)
    finally:
        shutil.rmtree(folder)
    print(f"{schedules} schedules, {sittings} sittings: {killed} killed, {refused} gave up; {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
