#!/usr/bin/env python3
"""Runs the commands of docs/tour.md as a user would, on a terminal's 80 columns, and compares what they print with what
stands there, in shape: numbers, names of searches and widths may differ, words may not. The commands read a recorded
search; blocks under "<!-- long -->" need minutes, and are only run for --write, which puts fresh output into the page.

usage: tour.py VORTEX [--write [--long]]
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = os.path.join(ROOT, "docs", "tour.md")
BLOCK = re.compile(r"(<!-- long -->\n)?```console\n(.*?)```\n", re.S)


def shape(line):
    line = re.sub(r"\b(brisk|calm|clear|deep|eager|fleet|keen|late|lucid|quiet|rapid|sharp|spare|still|swift|vivid)-[a-z]+",
                  "NAME", line)
    line = re.sub(r"\d+(d|h|m|s)\d*\d*(m|s)?\b", "TIME", line)
    line = re.sub(r"[-+]?\d[\d.]*(e-?\d+)?", "#", line)
    return re.sub(r"\s+", " ", re.sub(r"[─-]{2,}", "-", line)).strip()


def commands(block):
    """The commands of a block with what stands below each."""
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [part.split("\n", 1) for part in parts]


def run(command, folder, vortex):
    environment = {"PATH": os.path.dirname(vortex) + ":" + os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8",
                   "COLUMNS": "80", "TERM": "dumb"}
    done = subprocess.run(["bash", "-c", command], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=900)
    return "\n".join(line.rstrip() for line in done.stdout.split("\n")).strip("\n")


def main():
    vortex = os.path.abspath(sys.argv[1])
    write, with_long = "--write" in sys.argv, "--long" in sys.argv
    failures = []
    page = open(PAGE).read()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT + "/tests/cases/web/recorded", folder + "/.vortex")
        for name in ("models", "examples"):
            os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))

        def rerun(match):
            if match.group(1) and not with_long:
                return match.group(0)
            text = ""
            for command, printed in commands(match.group(2)):
                fresh = run(command, folder, vortex)
                text += "$ %s\n%s\n" % (command, fresh) if fresh else "$ %s\n" % command
                was = [shape(line) for line in printed.strip("\n").split("\n")]
                now = [shape(line) for line in fresh.split("\n")]
                if was != now and not write:
                    failures.append("$ %s prints\n%s\nand not\n%s" % (command, fresh, printed.strip("\n")))
            return (match.group(1) or "") + "```console\n" + text + "```\n"

        page = BLOCK.sub(rerun, page)
    if write:
        open(PAGE, "w").write(page)
    for failure in failures:
        print("FAILED:", failure, file=sys.stderr)
    if failures:
        sys.exit("docs/tour.md says something else: scripts/tour.py VORTEX --write")
    print("every command of docs/tour.md prints what stands there")


main()
