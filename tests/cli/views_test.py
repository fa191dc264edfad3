#!/usr/bin/env python3
"""What verbs print that only read a workspace, on a recorded search: tables, filters, widths, records, help, refusals.

usage: views_test.py VORTEX SOURCE_DIR
"""
import csv
import fcntl
import io
import json
import os
import pty
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import termios

VORTEX, SOURCE = sys.argv[1:3]
MODEL = SOURCE + "/models/chain-4m"
FAILURES = []


def check(holds, what):
    if not holds:
        FAILURES.append(what)
        print("FAILED:", what, file=sys.stderr)


class Folder:
    def __init__(self, path):
        self.path = path
        self.workspace = path + "/w"
        shutil.copytree(SOURCE + "/tests/cases/web/recorded", self.workspace)

    def run(self, *words, code=0, text=None, columns=None, stdin="", **variables):
        environment = {"PATH": os.environ["PATH"], "HOME": self.path, "LANG": "C.UTF-8",
                       "VORTEX_WORKSPACE": self.workspace, **variables}
        if columns:
            environment["COLUMNS"] = str(columns)
        done = subprocess.run([VORTEX, *words], cwd=self.path, env=environment, input=stdin, text=True,
                              capture_output=True, timeout=120)
        self.out, self.err = done.stdout, done.stderr
        called = "vortex " + " ".join(words)
        check(done.returncode == code, "%s: exit code %d, not %d:\n%s%s" %
              (called, done.returncode, code, self.out[:2000], self.err[:2000]))
        if text is not None:
            check(text in self.out + self.err, "%s does not say %r:\n%s%s" % (called, text, self.out[:2000], self.err[:2000]))
        return self.out

    def on_terminal(self, *words, **variables):
        """What the verb writes to a terminal of 80 columns and 24 lines."""
        environment = {"PATH": os.environ["PATH"], "HOME": self.path, "LANG": "C.UTF-8", "TERM": "xterm",
                       "VORTEX_WORKSPACE": self.workspace, **variables}
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen([VORTEX, *words], cwd=self.path, env=environment, stdin=theirs, stdout=theirs,
                                   stderr=subprocess.DEVNULL)
        os.close(theirs)
        out = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux says so when the last writer has gone
                break
            if not piece:
                break
            out += piece
        os.close(ours)
        check(process.wait(60) == 0, "vortex " + " ".join(words) + " on a terminal")
        return out.decode().replace("\r\n", "\n")

    def records(self, *words, **more):
        out = self.run(*words, "--format", "json", **more)
        document = json.loads(out)
        check(document.get("schema") == 1 and "kind" in document, "schema and kind of %s" % " ".join(words))
        return document


def lists(folder):
    everything = folder.records("list")["items"]
    check(len(everything) > 15 and everything == sorted(everything, key=lambda one: one["candidate"]), "all, in order")
    passed = folder.records("list", "--verdict", "pass", "--sort", "speed", "--limit", "3")["items"]
    speeds = [one["speed_over_dense"]["value"] for one in passed]
    check(len(passed) == 3 and speeds == sorted(speeds, reverse=True), "the three fastest: %r" % speeds)
    seeds = folder.records("list", "--origin", "seed", "--stage", "race")["items"]
    check(all(one["origin"] == "seed" and one["stage"].startswith("race") for one in seeds), "filters")
    folder.run("list", "--verdict", "pruned", text="4 that match, of")
    folder.run("list", "--run", "brisk-mole", text="candidates of search brisk-mole")
    folder.run("list", "--run", "brisk-mule", code=1, text="did you mean brisk-mole?")
    rows = list(csv.DictReader(io.StringIO(folder.run("list", "--format", "csv"))))
    check(len(rows) == len(everything) and float(rows[0]["accuracy_lo"]) <= float(rows[0]["accuracy"]), "CSV of a list")
    rows = list(csv.DictReader(io.StringIO(folder.run("front", "--format", "csv"))))
    check(rows[0]["origin"] == "dense" and float(rows[1]["speed_over_dense_hi"]) > 0, "CSV of a front: %r" % rows[:2])


def newest(folder):
    """A search that did not get far hides none before it."""
    base = sqlite3.connect(folder.workspace + "/vortex.db")
    base.execute("INSERT INTO run (name, config, state, started) SELECT 'late-tern', config, 'failed', started + 1e5 FROM run")
    base.commit()
    base.close()
    folder.run("front", text="search late-tern is newer but has no result yet; this is brisk-mole")
    check("seed masked_quest" in folder.out, "the front of the search that has one")
    folder.run("front", "--run", "late-tern", text="no candidate of late-tern has passed")
    folder.run("report", text="# Search brisk-mole")
    folder.run("list", text="candidates of search brisk-mole")
    compared = folder.records("compare", "brisk-mole", "late-tern")
    check(compared["result_a"]["evaluated"] > 0 and compared["result_b"]["evaluated"] == 0, "two searches side by side")
    check(isinstance(compared["result_a"]["hypervolume"]["lo"], float), "intervals are numbers")
    folder.run("compare", "brisk-mole", "late-tern", text="hypervolume")
    folder.run("rm", "late-tern", code=1, text="nothing was removed")
    folder.run("status", "late-tern")
    folder.run("rm", "late-tern", "--yes", text="removed late-tern")
    folder.run("status", "late-tern", code=1, text="no search is called late-tern")
    folder.run("db", "check", text="all is well")
    folder.run("front")
    check("newer" not in folder.err, "no newer search is left")


def options_come_first(folder):
    """What is wrong with a search's options is found before there is a search."""
    before = folder.records("status")["items"]
    folder.run("search", "--model", MODEL, "--proposer", "llm", code=1, text="no models file was given")
    folder.run("search", "--model", MODEL, "--seeds", "nowhere", code=1, text="nowhere")
    folder.run("search", "--model", "nowhere", code=1, text="nowhere")
    folder.run("search", "--model", MODEL, "--for", "soon", code=1, text="not a duration")
    folder.run("search", "--model", MODEL, "--for", "99999999999h", code=1, text="longer than ten years")
    folder.run("fetch", "owner/name/file", code=1, text="not a repository: owner/name/file")
    folder.run("search", "--model", MODEL, "--proposer", "recorded", "--replies", "nowhere", code=1)
    check(len(folder.records("status")["items"]) == len(before), "no search was begun")
    folder.run("search", "--resume", "brisk-mole", "--model", MODEL, "--seed", "4", code=1,
               text="--model, --seed: a search goes on with what it was started with")
    with open(folder.path + "/night.toml", "w") as file:
        file.write('for = "2h"\nproblems = 7\n')
    folder.run("search", "--resume", "brisk-mole", "--config", "night.toml", code=1, text="--problems: a search goes on")


def files(folder):
    source = folder.run("show", "7", "--source")
    check(source.startswith('"""Quest on sub-blocks') and "evidence" not in source, "the source alone")
    json.loads(folder.run("show", "7", "--configuration"))
    folder.run("show", "1", "--source", code=1, text="dense attention")
    export = ["export", "7", "--to", "vortex-torch", "--unconfirmed", "--out"]
    os.makedirs(folder.path + "/full")
    with open(folder.path + "/full/mine.txt", "w") as file:
        file.write("work")
    check(open(folder.path + "/full/mine.txt").read() == "work", "what was there stays")
    folder.run(*export, "full", code=1, text="full is there already")
    os.symlink(SOURCE + "/models", folder.path + "/models")
    folder.run(*export, "winner", text="winner")
    folder.run(*export, "winner", code=1, text="--overwrite")
    folder.run(*export, "winner", "--overwrite")
    difference = folder.records("diff", "7", "12")
    fields = {one["field"]: one for one in difference["fields"]}
    check("config vortex_max_seq_lens" not in fields and "config mem_fraction_static" not in fields,
          "what only one file spells out, at its default, is no difference: %r" % sorted(fields))
    check(fields["config vortex_layers_skip"]["b"] == [3] and fields["config vortex_topk_ratio"]["a"] == 0.25,
          "values are values: %r" % fields)
    check(fields["accuracy"]["a"]["lo"] < fields["accuracy"]["a"]["value"], "intervals are numbers")
    argument = folder.run("tokenize", "v1 v2", "--model", MODEL)
    check(folder.run("tokenize", "-", "--model", MODEL, stdin="v1 v2") == argument, "standard input")


def report(folder):
    text = folder.run("report")
    check("\\#" not in text and "# %" not in text, "no placeholders")
    check("fault met and retried" not in text, "the end of the budget is no fault")
    check('"seed" gave the most' not in text, "no advice to make more seeds")
    check("right in" in text and "as candidate 12" in text, "the most common end with its numbers")
    check("--for 9h" in text, "what goes on has time left: %r" % text[-200:])
    record = folder.records("report")
    check(record["failures"][0]["message"].startswith("right in "), "messages in the record")


def widths(folder):
    views = (["front"], ["list"], ["status"], ["front", "--plot"], ["compare", "1", "1"], ["diff", "7", "12"],
             ["show", "7"], ["config", "show"], ["help"], ["help", "search"], ["search", "--help"])
    for columns in (80, 46):
        for words in views:
            folder.run(*words, columns=columns)
            table = folder.out.split("evidence:")[0].split("structural distance")[0]
            if words[0] == "show":
                table = "\n".join(line for line in table.split("\n") if re.match(r"try|  \d ", line))
            wide = [line for line in table.split("\n") if len(line) > (80 if "help" in words[0] + words[-1] else columns)]
            check(not wide, "%s within %d columns:\n%s" % (" ".join(words), columns, "\n".join(wide)))
    folder.run("front", "--plot", text="■ dense attention")
    check("◇ not decided" in folder.out and "dense's speed" in folder.out, "a plot with its legend:\n" + folder.out)
    check(folder.run("front", "--plot", LANG="C").isascii(), "a plot in ASCII")
    check("■" not in folder.run("front"), "no plot in a pipe")


def helps(folder):
    verbs = re.findall(r"^  ([a-z]+) ", folder.run("help"), re.M)
    check(len(verbs) > 25 and folder.out == folder.run("--help"), "the verbs")
    check(len(folder.out.split("\n")) <= 48, "all verbs on one screen")
    for verb in verbs:
        text = folder.run("help", verb)
        check(text.startswith("vortex %s: " % verb) and "Example:\n  vortex " in text, "help %s:\n%s" % (verb, text[:300]))
        if verb != "bench":
            check(text == folder.run(verb, "--help"), "help %s and %s --help are one" % (verb, verb))
    search = folder.run("help", "search")
    for heading in ("What to search on:", "How long, and how much:", "Who writes policies:", "How policies are judged:"):
        check("\n" + heading + "\n" in search, "the group " + heading)
    check(re.search(r"--margin NUMBER .*\n?.*\n?.*\[0\.1\]", search), "a default")
    folder.run("help", "serach", code=1, text="did you mean search?")
    with open(folder.path + "/night.toml", "w") as file:
        file.write('for = "8h"\nproblems = 7\nmargin = 0.05\n')
    shown = {one["option"]: one for one in folder.records(
        "config", "show", "search", "--config", "night.toml", "--problems", "9")["items"]}
    origins = [(name, shown[name]["value"], shown[name]["from"]) for name in ("for", "problems", "workspace", "batch")]
    check(origins == [("for", "8h", "night.toml"), ("problems", "9", "command line"),
                      ("workspace", folder.workspace, "VORTEX_WORKSPACE"), ("batch", "4", "default")],
          "values and origins: %r" % origins)


def whose_fault(folder):
    shutil.copy(SOURCE + "/examples/policies/quest.py", folder.path)
    with open(folder.path + "/quest.json", "w") as file:
        file.write('{"vortex_topk_val": 16,,}')
    folder.run("check", "quest.py", code=1, text="quest.json")
    check("which model" not in folder.err, "what is wrong with the file comes first: " + folder.err)
    for endpoint in ("hub.example", "ftp://hub.example", "https://", "http://a b"):
        folder.run("fetch", "a/b", "--endpoint", endpoint, code=1, text="not a hub")
    folder.run("serach", code=1, text="did you mean search?")
    folder.run(code=1, text="usage: vortex VERB")


# Policies and their configurations as they are, checked against a model's shape alone.
def shapes(folder):
    for name, more in (("plain", {}), ("bos", {"vortex_block_reserved_bos": 0}), ("fp8", {"kv_cache_dtype": "fp8_e4m3"}),
                       ("long", {"vortex_max_seq_lens": 131072, "vortex_topk_val": 500}),
                       ("model", {"vortex_max_seq_lens": -1, "vortex_topk_val": 600}),
                       ("dense", {"vortex_layers_skip": [0]}),
                       ("engine", {"sampling_backend": "pytorch", "vortex_topk_ratio": None})):
        shutil.copy(SOURCE + "/examples/policies/quest.py", "%s/%s.py" % (folder.path, name))
        with open(SOURCE + "/examples/policies/quest.json") as file:
            config = {**json.load(file), "vortex_block_size": 16, **more}
        with open("%s/%s.json" % (folder.path, name), "w") as file:
            json.dump(config, file)

    def findings(name, *words, code=0):
        return [one["code"] for one in folder.records("check", name + ".py", *words, code=code)["diagnostics"]]

    for shape in ("qwen3-1.7b", "Qwen/Qwen3-4B", "llama-3.2-1b", MODEL):
        check(findings("plain", "--shape", shape) == [], "nothing about a policy that fits")
    check(findings("engine", "--shape", "qwen3-1.7b") == ["engine-key"], "a key of the engine goes through")
    check(findings("bos", "--shape", "qwen3-1.7b") == ["no-reserved-bos"], "no page at the beginning is kept")
    check(findings("long", "--shape", "qwen3-1.7b") == ["exact-topk-pages"], "8,192 pages")
    check("never-sparse" in findings("model", "--shape", MODEL), "the model's context of 8,192 tokens is one of 512 pages")
    check(findings("fp8", "--shape", "qwen3-1.7b", "--device", "cpu", code=1) == ["backend-kv-dtype"], "fp8 on the CPU")
    if not os.path.exists("/dev/nvidia0"):
        check(findings("fp8", "--shape", "qwen3-1.7b") == ["backend-kv-dtype"], "fp8 where there is no GPU is told")
    latent = SOURCE + "/tests/cases/check/modules/latent_blend.py"
    folder.run("check", latent, "--shape", "glm-4.7-flash", text="ok: latent_blend_25")
    folder.run("check", latent, "--shape", "qwen3-1.7b", code=1, text="needs a model with latent attention")
    folder.run("vflow", "explain", latent, "--shape", "glm-4.7-flash", text="Layer 0 of 47 is dense.")
    folder.run("vflow", "explain", "dense.py", "--shape", "qwen3-1.7b", text="Layer 0 of 28 is dense.")
    with open(folder.path + "/config.json", "w") as file:
        json.dump({"model_type": "whole", "text_config": {"num_hidden_layers": 32, "num_attention_heads": 16,
                                                          "num_key_value_heads": 4, "head_dim": 256}}, file)
    folder.run("vflow", "explain", "plain.py", "--shape", "config.json", text="of 32")
    folder.run("check", "plain.py", "--shape", "config.json", text="this runtime does not run that model")
    folder.run("check", "plain.py", "--shape", "qwen9", code=1, text="glm-4.7-flash")


def colors(folder):
    """Verdicts have colours on a terminal that may have them, and the words stay what they are in a pipe."""
    pass_, head = "\033[32mpass\033[0m", "\033[1mverdict\033[0m"
    shown = folder.on_terminal("list")
    check(pass_ in shown and head in shown and "\033[2mpruned\033[0m" in shown, "colours of a list:\n%r" % shown[:800])
    plain = re.sub("\033\\[[0-9]*m", "", shown)
    check(plain == folder.run("list", columns=80), "the same words in the same places:\n" + plain)
    for words in (["front"], ["show", "7"], ["status"], ["doctor"], ["report"]):
        check("\033[1m" in folder.on_terminal(*words), "colours of " + words[0])
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        check("\033" not in folder.on_terminal("list", **variables), "no colours with %r" % variables)
    check("\033[32m" in folder.on_terminal("list", NO_COLOR=""), "an empty NO_COLOR is none")
    check("\033" not in folder.run("list"), "no colours in a pipe")


def first_screen(folder):
    """Who opens the report in the morning reads on the first screen what came out and how sure that is."""
    screen = "\n".join(folder.on_terminal("report", NO_COLOR="1").split("\n")[:24])
    for what in ("Search brisk-mole", "so nothing is claimed", "19 candidates evaluated", "The front", "1.18 [0.69, 2.03]"):
        check(what in screen, "the report's first screen says %r:\n%s" % (what, screen))


def tired(folder):
    """What a tired person types is answered in words, and leaves nothing behind."""
    folder.run("config", "foo", code=1, text="config does not know foo")
    folder.run("--workspace", "w", code=1, text="vortex VERB --workspace")
    folder.run("show", "x", code=1, text="candidate: not a number: x")
    folder.run("vflow", "foo", code=1, text="vflow does not know foo")
    folder.run("vflow", code=1, text="vortex vflow ref, ops, fmt, explain, graph")
    folder.run("bench", "step", code=1, text="vortex bench step --help")
    folder.run("bench", "foo", code=1, text="vortex bench --help")
    for words in (["search", "--seed", "-1"], ["search", "--max-evals", "-1"], ["list", "--limit", "-1"]):
        folder.run(*words, code=1, text="-1 is less than 0")
    for words in (["rm", "brisk-mole"], ["db", "vacuum"], ["search", "--resume", "brisk-mole"]):
        folder.run(*words, "--workspace", "gone", code=1, text="no workspace at gone")
        check(not os.path.exists(folder.path + "/gone"), " ".join(words) + " makes no workspace")
    folder.run("list", "--verdict", "passed", text="--verdict: none has passed; there are pass, proposed, pruned")
    check("accuracy" not in folder.out, "no head of a table without rows: " + folder.out)
    folder.run("list", "--verdict", "pass", "--front")
    check("none has" not in folder.err, "a word that some have is none to explain")
    folder.run("diff", "7", "7", text="that is one candidate")


def cut_short(folder):
    """Searches that have no time say so, and name no candidate that is not there."""
    used = folder.path + "/used"
    shutil.copytree(folder.workspace, used)
    folder.run("search", "--resume", "brisk-mole", "--for", "5m", "--workspace", used,
               text="its time is used up: 18m01s of 5m00s; --for counts all sittings")
    check("0 candidates evaluated in this sitting" in folder.out, "what this sitting did: " + folder.out)
    shown = re.search(r"vortex show (\d+)", folder.out)
    check(shown is not None and shown.group(1) == "5", "the fastest is worth a look where nothing is claimed: " + folder.out)
    folder.run("search", "--model", MODEL, "--for", "0.01s", "--workspace", folder.path + "/short",
               text="There is none yet: dense attention")
    check("vortex show" not in folder.out and "search --resume" in folder.out, "only what works is offered: " + folder.out)


def without_objects(folder):
    """A database alone, as it is handed on: what needs no source is shown."""
    alone = folder.path + "/alone"
    shutil.copytree(folder.workspace, alone, ignore=shutil.ignore_patterns("objects"))
    for words in (("report",), ("report", "--html", folder.path + "/alone.html"), ("front",), ("list",)):
        folder.run(*words, "--workspace", alone)
    check("The front" in folder.run("report", "--workspace", alone), "the front of a database alone")
    folder.run("show", "5", "--workspace", alone, text="without its source: the workspace misses object")
    check("evidence:" in folder.out and "race" in folder.out, "the stages of a candidate whose source is gone")
    folder.run("show", "5", "--source", "--workspace", alone, code=3, text="misses object")


def nodes(folder):
    """A search that runs on two machines: who is there now is counted, and not who ever came."""
    running = folder.path + "/running"
    shutil.copytree(folder.workspace, running)
    base = sqlite3.connect(running + "/vortex.db")
    base.execute("UPDATE run SET state = 'running', ended = 0 WHERE name = 'brisk-mole'")
    base.commit()
    base.close()
    machine = {"node": "ash", "device": "cpu", "gpu": False, "uuid": "", "driver": "", "units": "", "threads": 1,
               "memory_bytes": 1}
    workers = [{"name": name, "machine": machine, "state": "idle", "job": "", "stage": "", "since": 0}
               for name in ("one", "two")]
    counts = {"jobs": 9, "busy_seconds": 5, "seconds": 10, "faults": 0, "last_fault": ""}
    os.mkdir(running + "/workers")
    with open(running + "/workers/roster.json", "w") as file:
        json.dump({"schema": 1, "run": "brisk-mole", "updated": 0, "workers": workers,
                   "nodes": {"ash": {"workers": 7, **counts}, "elm": {"workers": 3, **counts}}}, file)
    with open(running + "/search.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.run("status", "--workspace", running, columns=200)
        check(re.search(r"node +workers", folder.out) and re.search(r"ash +2 +9", folder.out) and
              re.search(r"elm +0 +9", folder.out), "workers that are there:\n" + folder.out)
    folder.run("report", "--workspace", running)
    check(re.search(r"joined", folder.out) and re.search(r"ash \| 7 \| 9", folder.out),
          "workers that came:\n" + folder.out)


def times(folder):
    item = folder.records("status")["items"][0]
    base = sqlite3.connect(folder.workspace + "/vortex.db")
    base.execute("UPDATE run SET started = ended - 1100 WHERE started = 0")  # recorded by a program that did not note it
    base.commit()
    base.close()
    check(item["started"] is None and item["ended"] > 1e9, "when it began, if anybody knows, and ended: %r" % item)
    check(item["candidates_per_hour"] > 10 and item["seconds_left"] is None, "its pace: %r" % item)
    folder.run("status", columns=200)
    check(re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", folder.out) and "/h" in folder.out and " ago" in folder.out,
          "dates, pace and age:\n" + folder.out)
    folder.run("status", "--watch", text="brisk-mole")


with tempfile.TemporaryDirectory() as path:
    here = Folder(path)
    for part in (lists, newest, options_come_first, files, report, widths, helps, whose_fault, shapes, times, colors,
                 first_screen, tired, cut_short, without_objects, nodes):
        part(here)
if FAILURES:
    sys.exit("%d checks failed" % len(FAILURES))
print("the views show what they should")
