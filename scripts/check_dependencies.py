#!/usr/bin/env python3
"""Holds the dependency rule of docs/architecture.md: which folder may include which, and where LibTorch may appear.

usage: scripts/check_dependencies.py [FOLDER]     of the checkout in FOLDER (default: this one)
"""
import os
import re
import subprocess
import sys

# folder -> folders that it may include. The longest matching folder of a file decides.
ALLOWED = {
    "base": "base",
    "kernels": "kernels",
    "core/vflow": "base core/vflow",
    "core/tensor": "base core/vflow core/tensor",
    "core/compile": "base core/vflow core/tensor core/compile kernels",
    "core/model": "base core/vflow core/model kernels",
    "core/engine": "base core kernels",
    "job": "base job",
    "evals": "base core kernels job evals",
    "sandbox": "base core/vflow core/model job sandbox",
    "sandbox/keeper": "sandbox",
    "sandbox/worker": "base core job evals sandbox",
    "fleet": "base job sandbox fleet",
    "db": "base job db",
    "httpd": "base httpd",
    "serve": "base core kernels job httpd serve",
    "net": "base net",
    "fetch": "base net fetch",
    "study": "base core/vflow job evals db study",
    "agent": "base core/vflow core/model job evals sandbox db net study agent",
    "web": "base core/vflow core/model job evals db httpd study web",
    "cli": "base core/vflow core/compile core/model job evals sandbox fleet db net httpd fetch study agent web cli",
}
# The rooms of a folder, lowest first: a file may include what lies in its own room or in one before it. "." is the
# folder itself; a face may include every room.
ROOMS = {
    "core/vflow": ". syntax graph config trace check vary tell",
    "agent": "session evaluate propose prompts llm loop",
    "cli": ". show export verbs",
}
FACES = {"core/vflow/policy.h", "cli/main.cpp"}
TORCH = ("core/tensor", "core/compile/reference")


def is_in(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def room_of(path, folder):
    rest = path[len(folder) + 1:]
    return rest.split("/")[0] if "/" in rest else "."


def climb(path, included):
    """What is wrong with an include between rooms of one folder; None where nothing is."""
    for folder, rooms in ROOMS.items():
        if not (is_in(path, [folder]) and is_in(included, [folder])):
            continue
        order = rooms.split()
        own, other = room_of(path, folder), room_of(included, folder)
        for room in (own, other):
            if room not in order:
                return f"{folder}/{room} is no room of {folder} (they are: {rooms})"
        if order.index(other) > order.index(own) and path not in FACES:
            return f"room {own} of {folder} may not include {included}: {other} lies above it"
    return None


def fault(path, included):
    if included.startswith("c10/cuda/"):
        return "c10/cuda is used nowhere: the CUDA path uses the CUDA runtime directly"
    if is_in(included, ["torch", "ATen", "c10"]):
        return None if is_in(path, TORCH) else f"LibTorch ({included}) stays inside: {' '.join(TORCH)}"
    rules = [folder for folder in ALLOWED if is_in(path, [folder])]
    if not rules or not is_in(included, {folder.split("/")[0] for folder in ALLOWED}):
        return None
    rule = max(rules, key=len)
    if not is_in(included, ALLOWED[rule].split()):
        return f"{rule} may not include {included} (allowed: {ALLOWED[rule]})"
    return climb(path, included)


def main():
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), ".."))
    tops = sorted({folder.split("/")[0] for folder in ALLOWED})
    lines = subprocess.run(["git", "grep", "--untracked", "-nE", r"^ *# *include *[<\"]", "--", *tops],
                           capture_output=True, text=True).stdout.splitlines()
    faults = 0
    for line in lines:
        path, number, text = line.split(":", 2)
        why = fault(path, re.search(r'[<"]([^>"]*)[>"]', text).group(1))
        if why:
            print(f"{path}:{number}: {why}", file=sys.stderr)
            faults += 1
    if faults:
        sys.exit(f"error: {faults} include(s) break the dependency rule")
    print(f"dependency rule holds: {len(lines)} includes")


main()
