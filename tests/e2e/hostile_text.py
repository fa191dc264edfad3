#!/usr/bin/env python3
"""Puts one hostile text into everything that a proposer or a worker can write, and walks all places where vortex shows
it: no view may hold a command for a terminal, a row of a Markdown table of its own, markup of an HTML page, a line of
C++, or a path outside of the folder that was named.

usage: hostile_text.py VORTEX SOURCE_DIR        (the dashboard has tests/web/browser/hostile.mjs)
"""
import hashlib
import html.parser
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

HOSTILE = (
    "x \x1b[2J\x1b]0;owned\x07 \u009b31m \x7f\x08 \u202eover\u202c \u2028 | cell | cell |\n| --- | --- |\n# heading\n"
    "```\n```\n`code` <script>alert(1)</script> <img src=x onerror=alert(1)> \"' ![i](http://a/b) [l](javascript:x) "
    "$(touch owned) `touch owned`; \\\n*/ #error owned \\"
)
NAME = "../../../owned"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
failures = []


def expect(good, what):
    if not good:
        failures.append(what)


def run(*arguments, codes=(0,)):
    done = subprocess.run([VORTEX, *arguments], cwd=SOURCE, capture_output=True, timeout=120)
    text = done.stdout.decode() + done.stderr.decode()  # not UTF-8: a failure of the test
    shown = " ".join(arguments[:3])
    expect(done.returncode in codes, f"{shown}: exit code {done.returncode}: {text[-400:]}")
    found = CONTROL.search(text)
    expect(not found, f"{shown}: a control character, {found and ascii(text[max(0, found.start() - 40):found.end() + 20])}")
    return done.stdout.decode()


def put(database, workspace, column, candidate, text):
    name = hashlib.sha256(text.encode()).hexdigest()
    folder = os.path.join(workspace, "objects", name[:2])
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "w", newline="") as file:
        file.write(text)
    database.execute(f"UPDATE candidate SET {column} = ? WHERE id = ?", (name, candidate))


def spoil(workspace):
    """The hostile text in every row; candidate 2 has it in its module and its name, too."""
    with sqlite3.connect(os.path.join(workspace, "vortex.db")) as database:
        for table, column in [("candidate", "rationale"), ("lineage", "operation"), ("stage", "message"),
                              ("stage", "log_tail"), ("outcome", "extracted"), ("outcome", "rule")]:
            database.execute(f"UPDATE {table} SET {column} = ?", (HOSTILE,))
        database.execute("UPDATE stage SET verdict = 'fail', blame = 'candidate' WHERE id IN "
                         "(SELECT MAX(id) FROM stage WHERE candidate > 12 GROUP BY candidate)")
        for kind in ("hypothesis", "anti-pattern", "question"):
            database.execute("INSERT INTO note (run, batch, slot, draw, kind, text, prediction, created) "
                             "VALUES (1, 1, 1, 0, ?, ?, '{}', 0)", (kind, HOSTILE))
        for candidate in (2, 3):
            module = "\n".join("# " + line for line in re.split("[\n\x07]", HOSTILE))
            put(database, workspace, "module_object", candidate,
                f"{module}\nfrom vortex_torch.flow import register\n@register({NAME!r})\nclass X:\n  '''{candidate}'''\n")
            put(database, workspace, "config_object", candidate,
                json.dumps({"vortex_module_name": NAME, "vortex_module_path": NAME + ".py"}))


class Tags(html.parser.HTMLParser):
    """The page has two scripts of ours: what it shows, as JSON, and the one that shows it."""
    scripts = []

    def handle_starttag(self, tag, attributes):
        if tag == "script":
            self.scripts.append(dict(attributes).get("type"))
        expect(tag not in ("img", "iframe", "a", "object"), f"the report's page has a <{tag}>")
        expect(not any(name.startswith("on") for name, _ in attributes), f"<{tag}> listens to events")


def check_markdown(text):
    columns = 0
    fence = ""
    for line in text.splitlines():
        opened = re.match("`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif opened:
            fence = opened.group()
        elif line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1
            expect(columns in (0, cells), f"a row with {cells} instead of {columns} cells: {line[:200]}")
            columns = cells
            expect("<script" not in line.replace("\\<", ""), "markup in a Markdown table")
        else:
            columns = 0
            expect(not line.startswith("# heading"), "a heading of its own in the Markdown report")
    expect(not fence, "a code block of the Markdown report does not end")


def walk(folder, workspace):
    for verb in (["show", "2"], ["show", "15"], ["lineage", "15"], ["diff", "2", "3"], ["front"], ["status"], ["report"]):
        run(*verb, "--workspace", workspace)
        for form in ("json", "jsonl"):
            out = run(*verb, "--workspace", workspace, "--format", form) if verb[0] != "lineage" else "{}"
            for record in [out] if form == "json" else out.strip("\n").split("\n"):
                json.loads(record)
    check_markdown(run("report", "--workspace", workspace))
    page = os.path.join(folder, "report.html")
    run("report", "--workspace", workspace, "--html", page)
    with open(page) as file:
        text = file.read()
    expect("owned" in text, "the page lacks the text")
    Tags().feed(text)
    expect(Tags.scripts == ["application/json", "module"], f"the report's page has the scripts {Tags.scripts}")
    for form in ("vortex-torch", "bundle", "cuda"):
        out = os.path.join(folder, "deep", "er", "out-" + form)
        run("export", "2", "--to", form, "--out", out, "--unconfirmed", "--workspace", workspace, codes=(0, 1))
        run("export", "4", "--to", form, "--out", out + "-4", "--unconfirmed", "--workspace", workspace, codes=(0, 1))
        for below, _, files in os.walk(out + "-4"):
            for name in files:
                if name.endswith((".cu", ".h", ".md")):
                    with open(os.path.join(below, name)) as file:
                        expect("#error owned" not in file.read(), f"the text is in {form}/{name}")
    strays = [os.path.join(below, name) for below, folders, files in os.walk(folder) for name in files + folders
              if name.startswith("owned") and not below.startswith(os.path.join(folder, "deep", "er", "out-"))]
    expect(not strays and not os.path.exists(os.path.join(SOURCE, "owned")), f"files outside: {strays}")


def check_policy(folder):
    module = os.path.join(folder, "own.py")
    with open(module, "w") as file:
        file.write("# \x1b[2J \u202e\nfrom vortex_torch.flow import vFlow, register\n"
                   f"@register({NAME!r})  # \x1b]0;owned\x07\nclass P(vFlow):\n  pass\n")
    shutil.copy(os.path.join(SOURCE, "examples/policies/quest.json"), os.path.join(folder, "own.json"))
    for form in ("text", "json"):
        run("check", module, "--model", "models/chain-4m", "--format", form, codes=(1,))


def main():
    folder = tempfile.mkdtemp(prefix="vortex-hostile-")
    try:
        workspace = os.path.join(folder, "workspace")
        shutil.copytree(os.path.join(SOURCE, "tests/cases/web/recorded"), workspace)
        spoil(workspace)
        walk(folder, workspace)
        check_policy(folder)
    finally:
        shutil.rmtree(folder)
    for failure in failures:
        print("FAILED:", failure, file=sys.stderr)
    print("no view does what a hostile text says" if not failures else f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    VORTEX = os.path.abspath(sys.argv[1])
    SOURCE = os.path.abspath(sys.argv[2])
    sys.exit(main())
