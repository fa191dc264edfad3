#!/usr/bin/env python3
"""Writes the bodies of tests/cases/llm/bodies.json as inputs of tests/fuzz/stream_fuzz.cpp.

usage: stream_seeds.py BODIES FOLDER
"""
import json
import os
import sys

FORMATS = ["chat", "responses", "messages"]  # as kFormats there

for number, case in enumerate(json.load(open(sys.argv[1]))):
    if case.get("api") in FORMATS and isinstance(case.get("body"), str):
        first = FORMATS.index(case["api"]) + (12 if case["body"].lstrip().startswith(("data", "event")) else 0)
        with open(os.path.join(sys.argv[2], f"body-{number}"), "wb") as file:
            file.write(bytes([first]) + case["body"].encode())
