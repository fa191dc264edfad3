#!/usr/bin/env python3
"""Experiments on a really trained model, side by side, each on a pair of cores of its own.

    scripts/real_model_trials.sh OUT MODEL_FOLDER BIN_DIR [OLD_BIN_DIR] [--minutes 22] [--only recorded evolve ...]
    scripts/real_model_trials.sh OUT --table

evolve     five searches from the shipped seeds (needles in prose, 2K) that may choose 16 pages of 16 tokens, and as many with
           the old build, which cannot be told so: is a policy of at most 16 chosen pages kept at a margin of ten points?
turns      one pair of cores, new and old build in turns: judged candidates an hour
recorded   one search over two sittings with a kill -9 between, its workspace packed for shipping
probes     scripts/measure_probes.py over the pairs that are left, two to eight: what predicts accuracy
walk       what a new user types in an empty folder, and what it prints: the transcript of docs/real-model.md
tables     scripts/measure_real_model.py: dense attention by task and length, policies beside the oracle

Pairs are the cores that this process may use, two by two; experiments wait where there are fewer pairs. Nothing runs
longer than --minutes; what is there by then is kept, and the same command goes on with probes and tables that were cut
off. Python 3.11, nothing else.
"""
import argparse
import json
import os
import platform
import queue
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TASK = ["--task", ROOT / "examples/tasks/ruler_niah_single_2.json", "--max-new-tokens", "24"]
SEEDS = (1, 2, 3, 4, 5)
MOST_PAGES = 16
MARGIN = 0.1
FIRST_MINUTES = 13    # before which no search of 24 minutes or more asks finalists
PREFIX_BYTES = 15_000_000_000  # of prompts a workspace at most: those of 16 + 112 + 192 problems of 2K
DISK_SHARE = 0.7      # of what is free on the disk, for the prompts of all workspaces
SPARE = 45            # seconds before the end, for what a search does last


class Trial:
    """One experiment on one pair of cores: runs commands there until the deadline, writes down what comes of it."""

    def __init__(self, name, cores, arguments, deadline):
        self.name, self.cores, self.arguments, self.deadline = name, cores, arguments, deadline
        self.folder = Path(arguments.out).absolute() / name
        self.folder.mkdir(parents=True, exist_ok=True)

    def left(self):
        return self.deadline - time.monotonic()

    def start(self, command, log):
        self.note("$ " + " ".join(map(str, command)))
        pinned = ["taskset", "-c", ",".join(map(str, self.cores)), *map(str, command)]
        with open(self.folder / log, "ab") as err, open(self.folder / (log + ".out"), "wb") as out:
            return subprocess.Popen(pinned, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)

    def finish(self, process, spare=0):
        """Waits for a command; what is not done by the deadline is asked to stop, then made to."""
        for stop, patience in ((signal.SIGINT, 20), (signal.SIGINT, 10), (signal.SIGKILL, 10)):
            try:
                return process.wait(timeout=max(0.0, self.left() - spare) if stop == signal.SIGINT and patience == 20
                                    else patience)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, stop)
        return process.wait()

    def run(self, command, log="log.txt", spare=0):
        code = self.finish(self.start(command, log), spare)
        return code, (self.folder / (log + ".out")).read_text(errors="replace")

    def note(self, text):
        with open(self.folder / "log.txt", "a") as log:
            log.write(f"[{time.strftime('%H:%M:%S')}] {text}\n")

    def write(self, result):
        (self.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def search_command(trial, vortex, workspace, minutes, seed, *more):
    return [vortex, "search", "--model", trial.arguments.model, "--workspace", workspace, *TASK, "--length",
            trial.arguments.length, "--problems", trial.arguments.problems, "--seed", seed, "--threads", len(trial.cores), "--for", f"{int(minutes * 60)}s",
            *more]


def bounded(trial, old):
    return [] if old else ["--device", "cpu", "--prefix-bytes", trial.arguments.prefix_bytes]


def rows_of(workspace, query, *values):
    with sqlite3.connect(f"file:{workspace}/vortex.db?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query, values)]


def object_text(workspace, name):
    return (Path(workspace) / "objects" / name[:2] / name).read_text()


def chosen_pages(workspace, candidate, kv_heads):
    """Pages of 16 tokens a kv head and step that the policy chose in its race, beside those that its configuration
    reserves; most over sparse layers. Larger pages count for as many of 16 as they hold."""
    race = rows_of(workspace, "SELECT evidence FROM stage WHERE candidate = ? AND stage = 'race' ORDER BY id DESC",
                   candidate)
    row = rows_of(workspace, "SELECT config_object FROM candidate WHERE id = ?", candidate)[0]
    if not race:
        return None
    config = json.loads(object_text(workspace, row["config_object"]))
    reserved = config.get("vortex_block_reserved_bos", 1) + config.get("vortex_block_reserved_eos", 1)
    evidence = json.loads(race[0]["evidence"])
    tokens = evidence.get("decode_tokens", 0)
    sparse = [a for a, v in zip(evidence["pages_attended"], evidence["pages_visible"]) if a < v]
    if not tokens or not sparse:
        return None
    return (max(sparse) / tokens / kv_heads - reserved) * config.get("vortex_block_size", 16) / 16


def last_metrics(workspace, candidate, stage):
    rows = rows_of(workspace, "SELECT metrics FROM stage WHERE candidate = ? AND stage = ? AND verdict = 'pass' ORDER BY "
                              "id DESC", candidate, stage)
    return {m["name"]: m for m in json.loads(rows[0]["metrics"])} if rows else {}


def held_out_answers(workspace, candidate):
    rows = rows_of(workspace, "SELECT stage, problem, trial, correct FROM outcome WHERE candidate = ? AND stage LIKE "
                              "'confirm%'", candidate)
    return {(r["stage"], r["problem"], r["trial"]): bool(r["correct"]) for r in rows}


def is_kept(trial, vortex, workspace, candidate, old):
    """Is accuracy kept within the margin, by held-out problems? By the build's own rule: it exports only what is. The
    old build has none: the interval of its held-out difference must lie above the margin."""
    if old:
        difference = last_metrics(workspace, candidate, "confirm").get("accuracy_difference")
        return difference is not None and difference["lo"] > -MARGIN
    target = trial.folder / f"kept-{candidate}"
    code, _ = trial.run([vortex, "export", candidate, "--to", "vortex-torch", "--out", target, "--workspace", workspace],
                        "export.txt")
    return code == 0


def asked(trial, vortex, workspace, old):
    """Everybody who answered held-out problems, on the front or not, beside dense attention on the same problems."""
    kv_heads = json.loads((Path(trial.arguments.model) / "config.json").read_text())["num_key_value_heads"]
    rows = rows_of(workspace, "SELECT DISTINCT candidate.id, origin, rationale FROM candidate JOIN stage ON "
                              "stage.candidate = candidate.id WHERE stage.stage LIKE 'confirm%' ORDER BY candidate.id")
    dense = {}
    for row in rows:
        dense.update(held_out_answers(workspace, row["id"]) if row["origin"] == "dense" else {})
    found = []
    for row in rows:
        own = held_out_answers(workspace, row["id"]) if row["origin"] != "dense" else {}
        shared = [key for key in own if key in dense]
        if not shared:
            continue
        speed = last_metrics(workspace, row["id"], "speed").get("speedup_vs_dense")
        found.append({"candidate": row["id"], "what": row["rationale"] or row["origin"], "problems": len(shared),
                      "won": sum(own[k] and not dense[k] for k in shared),
                      "lost": sum(dense[k] and not own[k] for k in shared),
                      "dense_right": sum(dense[k] for k in shared), "speed": speed,
                      "pages": chosen_pages(workspace, row["id"], kv_heads),
                      "kept": is_kept(trial, vortex, workspace, row["id"], old)})
    return found


def judged(workspace, before=None):
    """Candidates that a worker judged, dense attention aside, and the seconds of the search. `before`: those alone whose
    climb had ended by that time."""
    rows = rows_of(workspace, "SELECT candidate.id, max(stage.created) AS ended FROM candidate JOIN stage ON "
                              "stage.candidate = candidate.id WHERE origin <> 'dense' AND state = 'done' AND stage.stage "
                              "IN ('compile', 'validate', 'recall', 'gate', 'race', 'speed') GROUP BY candidate.id")
    count = sum(1 for row in rows if before is None or row["ended"] <= before)
    seconds = rows_of(workspace, "SELECT sum(seconds_used) AS s FROM run")[0]["s"]
    return count, seconds


def early(workspace, begun):
    """What the first minutes of one sitting came to: judged candidates, and how many of them a stage before the race had
    pruned."""
    end = begun + 60 * FIRST_MINUTES
    pruned = rows_of(workspace, "SELECT count(*) AS n FROM stage WHERE stage = 'recall' AND verdict = 'pruned' AND "
                                "created <= ?", end)[0]["n"]
    return {"minutes": FIRST_MINUTES, "judged": judged(workspace, end)[0], "pruned_at_recall": pruned}


def summary(trial, vortex, workspace, old=False):
    """What a search came to, from its rows."""
    if not (Path(workspace) / "vortex.db").exists():
        return {"error": "no workspace"}
    code, text = trial.run([vortex, "front", "--workspace", workspace, "--format", "json"], "front.txt")
    front = [{"candidate": row["candidate"], "what": row["made_by"], "accuracy": row["accuracy"],
              "dense_accuracy": row.get("dense_accuracy"), "speed": row["speed_over_dense"],
              "oracle": row.get("oracle_accuracy")}
             for row in (json.loads(text)["items"] if code == 0 else []) if row["origin"] != "dense"]
    count, seconds = judged(workspace)
    finalists = asked(trial, vortex, workspace, old)
    found = [row for row in finalists if row["kept"] and row["pages"] is not None and row["pages"] <= MOST_PAGES + 0.01]
    stages = rows_of(workspace, "SELECT stage, verdict, count(*) AS n, sum(seconds) AS seconds FROM stage GROUP BY stage, "
                                "verdict")
    return {"judged": count, "seconds": seconds, "front": front, "asked": finalists, "found": bool(found),
            "stages": stages}


def forget_prompts(workspace):
    shutil.rmtree(Path(workspace) / "prefixes", ignore_errors=True)


def evolve(trial, binaries, seed, old):
    vortex = Path(binaries) / "vortex"
    workspace = trial.folder / "workspace"
    minutes = (trial.left() - SPARE) / 60
    begun = time.time()
    budget = [] if old else ["--token-budget", 16 * MOST_PAGES]
    trial.run(search_command(trial, vortex, workspace, minutes, seed, *bounded(trial, old), *budget), spare=SPARE / 3)
    trial.write({**summary(trial, vortex, workspace, old), "early": early(workspace, begun)})
    forget_prompts(workspace)


def turns(trial, binaries, old_binaries):
    """Two sittings each on the same cores: new, old, old, new; without held-out problems, of which the builds ask
    different numbers."""
    builds = [("new", Path(binaries) / "vortex"), ("old", Path(old_binaries) / "vortex")]
    sitting = (trial.left() - SPARE) / 60 / 4
    results = {}
    for turn in (1, 2):
        for name, vortex in builds if turn == 1 else reversed(builds):
            workspace = trial.folder / name
            more = ["--no-confirm", *bounded(trial, name == "old")]
            command = search_command(trial, vortex, workspace, turn * sitting, 1, *more)
            if turn > 1:
                run = rows_of(workspace, "SELECT name FROM run")[0]["name"]
                command = [vortex, "search", "--workspace", workspace, "--resume", run, "--for",
                           f"{int(turn * sitting * 60)}s"]
            trial.run(command)
            count, seconds = judged(workspace)
            results.setdefault(name, []).append({"judged": count, "seconds": seconds})
            trial.write(results)
    for name, _ in builds:
        forget_prompts(trial.folder / name)


def recorded(trial, binaries):
    """A search of two sittings, killed between them; then what a reader wants of it, and its workspace packed."""
    vortex = Path(binaries) / "vortex"
    workspace = trial.folder / "workspace"
    minutes = (trial.left() - 4 * SPARE) / 60
    command = search_command(trial, vortex, workspace, minutes, 1, *bounded(trial, False), "--control-share", "0.1")
    first = trial.start(command, "first.txt")
    try:
        first.wait(timeout=0.45 * minutes * 60)
    except subprocess.TimeoutExpired:
        os.kill(first.pid, signal.SIGKILL)
    first.wait()
    run = rows_of(workspace, "SELECT name FROM run")[0]["name"]
    before = judged(workspace)
    trial.run([vortex, "search", "--workspace", workspace, "--resume", run], "second.txt", spare=3 * SPARE)
    result = {"killed_after": before, **summary(trial, vortex, workspace)}
    trial.write(result)
    for name, words in (("front.json", ["front", "--format", "json"]), ("front_table.txt", ["front"]),
                        ("brief.md", ["report"]), ("brief.html", ["report", "--html", trial.folder / "brief.html"]),
                        ("replay.txt", ["replay", "front"]), ("check.txt", ["db", "check"])):
        code, text = trial.run([vortex, *words, "--workspace", workspace], "after.txt")
        result[words[0] + "_code"] = code
        if name != "brief.html":
            (trial.folder / name).write_text(text)
    packed = trial.folder / "packed"
    shutil.rmtree(packed, ignore_errors=True)
    trial.run([vortex, "db", "backup", packed, "--workspace", workspace], "after.txt")
    trial.run([vortex, "db", "vacuum", "--workspace", packed], "after.txt")
    result["packed_bytes"] = sum(file.stat().st_size for file in packed.rglob("*") if file.is_file())
    trial.write(result)
    forget_prompts(workspace)


def walk(trial, binaries):
    """What a new user types, in an empty folder, with what it prints: walk.txt."""
    here = trial.folder / "here"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    (here / "smollm2").symlink_to(trial.arguments.model)
    for name in ("my.py", "my.json"):
        text = (ROOT / "examples/policies" / f"head_max_centroid.{name[3:]}").read_text()
        (here / name).write_text(text.replace("head_max_centroid.py", "my.py"))
    threads = f"--threads {len(trial.cores)}"
    minutes = int((trial.left() - 5 * SPARE) / 60) - 3
    task = f"--task {ROOT}/examples/tasks/ruler_niah_single_2.json --length 1024 --max-new-tokens 32"
    lines = ['generate "Why is the sky blue?" --model smollm2 --chat --max-tokens 40',
             f"eval my.py my.json --model smollm2 {task} {threads}", f"eval my.py my.json --model smollm2 {task} {threads}",
             f"search --model smollm2 --for {minutes}m {threads}", "front", "show 2", "layers 2", "replay front"]
    transcript = trial.folder / "walk.txt"
    transcript.write_text("")
    for line in lines:
        begin = time.monotonic()
        command = [Path(binaries) / "vortex", *shlex.split(line)]
        process = trial.start(["bash", "-c", 'cd "$0" && exec "$@" 2>&1', here, *command], "walk.log")
        trial.finish(process)
        with open(transcript, "a") as out:
            out.write(f"$ vortex {line.replace(str(ROOT) + '/', '')}\n{(trial.folder / 'walk.log.out').read_text()}"
                      f"({time.monotonic() - begin:.0f} s, exit code {process.returncode})\n\n")
    trial.write({"minutes": minutes})
    forget_prompts(here / ".vortex")


def measure(trial, script, binaries, *more):
    """One of the measuring scripts; cut off at the deadline, it has written what it had."""
    results = trial.folder / "measured.json"
    options = ["--vortex", Path(binaries) / "vortex", "--workspace", trial.folder / "workspace",
               "--threads", len(trial.cores)]
    process = trial.start([sys.executable, ROOT / "scripts" / script, "run", trial.arguments.model, results, *options,
                           *more], "log.txt")
    trial.finish(process)
    trial.write({"complete": process.returncode == 0})
    if process.returncode == 0:
        forget_prompts(trial.folder / "workspace")


def experiments(arguments, pairs):
    """(name, function, arguments), the most wanted first."""
    new, old = arguments.binaries, arguments.old
    listed = [("recorded", recorded, (new,))]
    listed += [(f"evolve-new-{seed}", evolve, (new, seed, False)) for seed in SEEDS]
    measured = [("tables-dense", measure, ("measure_real_model.py", new, "--tables", "dense")),
                ("tables-policies", measure, ("measure_real_model.py", new, "--tables", "policies", "skipping"))]
    olds = [("turns", turns, (new, old))] if old else []
    olds += [(f"evolve-old-{seed}", evolve, (old, seed, True)) for seed in SEEDS] if old else []
    left = min(8, max(2, len(pairs) - len(listed) - len(measured) - len(olds) - 1))
    probes = [(f"probes-{i}", measure, ("measure_probes.py", new, "--share", f"{i}/{left}", "--problems",
                                        str(2 * int(arguments.problems)))) for i in range(1, left + 1)]
    listed += probes + measured + olds + [("walk", walk, (new,))]
    wanted = arguments.only
    return [e for e in listed if not wanted or e[0] in wanted or e[0].split("-")[0] in wanted]


def work(todo, cores, arguments, deadline):
    while True:
        try:
            name, function, values = todo.get_nowait()
        except queue.Empty:
            return
        trial = Trial(name, cores, arguments, deadline)
        if trial.left() < 60:
            trial.note("left out: no time")
            continue
        try:
            function(trial, *values)
        except Exception as error:  # one experiment's end is not another's
            trial.note(f"failed: {type(error).__name__}: {error}")
            (trial.folder / "error.txt").write_text(f"{type(error).__name__}: {error}\n")
        print(f"[{time.strftime('%H:%M:%S')}] {name} is done", flush=True)


def run(arguments):
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    arguments.model = str(Path(arguments.model).absolute())
    arguments.binaries = str(Path(arguments.binaries).absolute())
    arguments.old = str(Path(arguments.old).absolute()) if arguments.old else None
    cores = sorted(os.sched_getaffinity(0))
    pairs = [cores[i:i + 2] for i in range(0, len(cores) - 1, 2)][:arguments.pairs] or [cores]
    free = shutil.disk_usage(out).free
    arguments.prefix_bytes = int(min(PREFIX_BYTES, DISK_SHARE * free / len(pairs)))
    deadline = time.monotonic() + arguments.minutes * 60
    listed = experiments(arguments, pairs)
    info = Path("/proc/cpuinfo").read_text()
    machine = {"processor": (re.search(r"model name\s*: (.*)", info) or [None, platform.processor()])[1],
               "cores": len(cores), "pairs": pairs, "minutes": arguments.minutes,
               "siblings": [Path(f"/sys/devices/system/cpu/cpu{c}/topology/thread_siblings_list").read_text().strip()
                            for c in cores if Path(f"/sys/devices/system/cpu/cpu{c}/topology").exists()],
               "experiments": [e[0] for e in listed]}
    (out / "machine.json").write_text(json.dumps(machine, indent=1) + "\n")
    print(f"{len(listed)} experiments on {len(pairs)} pairs of cores, {arguments.minutes} minutes", flush=True)
    todo = queue.Queue()
    for experiment in listed:
        todo.put(experiment)
    workers = [threading.Thread(target=work, args=(todo, pair, arguments, deadline)) for pair in pairs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def load(path):
    return json.loads(path.read_text()) if path.exists() else None


def shown(interval):
    return "-" if not interval else f"{interval['value']:.2f} [{interval['lo']:.2f}, {interval['hi']:.2f}]"


def print_search(name, result):
    if "judged" not in result:
        print(f"| {name} | {result.get('error', 'cut off')} | | | |")
        return
    first = result.get("early")
    shown_asked = "; ".join(
        f"#{r['candidate']} {r['what'][:40]}: {'kept' if r['kept'] else 'not kept'}, "
        f"{'?' if r['pages'] is None else format(r['pages'], '.0f')} pages, {shown(r['speed'])}x, held out "
        f"{r['problems']}: {r['won']} won, {r['lost']} lost of dense attention's {r['dense_right']} right"
        for r in result.get("asked", []))
    print(f"| {name} | {result['judged']} in {(result['seconds'] or 0) / 60:.0f} min | "
          + (f"{first['judged']} ({first['pruned_at_recall']} pruned at recall)" if first else "-")
          + f" | {'yes' if result['found'] else 'no'} | {shown_asked or 'nobody'} |")


def print_turns(result):
    print("\nJudged candidates in turns on one pair of cores, no held-out problems:")
    for name, sittings in result.items():
        last = sittings[-1]
        print(f"  {name}: " + ", ".join(f"{s['judged']} after {s['seconds'] / 60:.1f} min" for s in sittings)
              + f": {3600 * last['judged'] / last['seconds']:.0f} an hour")


def print_tables(out, script, files):
    if files:
        print(flush=True)
        subprocess.run([sys.executable, ROOT / "scripts" / script, "table", *files], check=False)


def print_results(out):
    searches = sorted(p for p in out.glob("*/result.json") if p.parent.name.split("-")[0] in ("evolve", "recorded"))
    print(f"\n| search | judged | in the first {FIRST_MINUTES} minutes | at most {MOST_PAGES} pages, kept | asked on held-out problems |\n|---|---|---|---|---|")
    for path in searches:
        print_search(path.parent.name, load(path))
    if (result := load(out / "turns" / "result.json")) is not None:
        print_turns(result)
    if (result := load(out / "recorded" / "result.json")) is not None:
        print("\nrecorded:", {k: v for k, v in result.items() if k.endswith(("_code", "_bytes", "_after"))})
    print_tables(out, "measure_probes.py", sorted(out.glob("probes-*/measured.json")))
    print_tables(out, "measure_real_model.py", sorted(out.glob("tables-*/measured.json")))
    for path in sorted(out.glob("*/error.txt")):
        print(f"\n{path.parent.name}: {path.read_text().strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("model", nargs="?")
    parser.add_argument("binaries", nargs="?")
    parser.add_argument("old", nargs="?")
    parser.add_argument("--minutes", type=float, default=22)
    parser.add_argument("--pairs", type=int, default=1000, help="at most so many")
    parser.add_argument("--problems", default="16", help="of a search; probes take twice as many")
    parser.add_argument("--length", default="2048", help="tokens of a problem of a search")
    parser.add_argument("--only", nargs="*", help="experiments by name or kind")
    parser.add_argument("--table", action="store_true", help="print what is there")
    arguments = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # everything here is about two cores
    if not arguments.table:
        if not arguments.binaries:
            parser.error("MODEL_FOLDER and BIN_DIR are needed")
        run(arguments)
    print_results(Path(arguments.out))


main()
