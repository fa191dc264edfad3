#!/usr/bin/env python3
"""Searches whose language model fails in one way each, on the real clock: each must end within three seconds of its
--for and say what it waited for. Prints a row a fault.

usage: outages.py VORTEX SOURCE_DIR [SECONDS (20)]
"""
import json
import os
import subprocess
import sys
import tempfile
import time

VORTEX, SOURCE = sys.argv[1:3]
LIMIT = float(sys.argv[3]) if len(sys.argv) > 3 else 20
MARGIN = 3
# What the server is told (tests/agent/llm/llm_server.py), or the URL of none.
FAULTS = {"500 to all": "status:500", "429, an hour": "status:429:3600", "comments only": "trickle", "silent": "hang:600",
          "a slow trickle": "drip", "garbage": "garbage", "cut short": "cut", "connection refused": "http://127.0.0.1:1",
          "no such name": "http://no-such-name.invalid", "nobody routes there": "http://10.255.255.1:8000"}


def control(port, behaviour):
    import urllib.request
    body = json.dumps({"script": [behaviour] * 5000, "reply": "", "usage": True}).encode()
    urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:%s/control" % port, body)).read()


def search(folder, url):
    with open(folder + "/models.json", "w") as file:
        json.dump({"models": [{"name": "local", "url": url + "/v1", "api": "chat", "model": "m"}]}, file)
    start = time.monotonic()
    done = subprocess.run(
        [VORTEX, "search", "--model", SOURCE + "/models/chain-4m", "--workspace", folder + "/w", "--definitions", "24",
         "--chain", "4", "--problems", "2", "--speed-seconds", "0", "--no-confirm", "--accept-baseline", "--proposer", "llm",
         "--models", folder + "/models.json", "--for", "%gs" % LIMIT], capture_output=True, text=True, timeout=600)
    took = time.monotonic() - start
    brief = subprocess.run([VORTEX, "report", "--workspace", folder + "/w"], capture_output=True, text=True).stdout
    lines = (brief + done.stderr).splitlines()
    # What it waited for; or, where the model failed at once and seeds were tried meanwhile, what would not fit any more; or
    # that replies held nothing to try.
    said = next((line for line in lines if "local" in line and "wait" in line), "")
    said = said or next((line for line in lines if "does not fit" in line or "ended before its time" in line), "")
    return took, done.returncode, said


late = 0
print("%-20s %8s %5s  %s" % ("fault", "late", "code", "said"))
for name, behaviour in FAULTS.items():
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([sys.executable, SOURCE + "/tests/agent/llm/llm_server.py"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        url = behaviour
        if not behaviour.startswith("http"):
            port = server.stdout.readline().strip()
            control(port, behaviour)
            url = "http://127.0.0.1:" + port
        took, code, said = search(folder, url)
        server.stdin.close()
        server.wait()
    print("%-20s %6.2f s %5d  %s" % (name, took - LIMIT, code, said.strip()[:120]), flush=True)
    late += took > LIMIT + MARGIN or not said
sys.exit("%d of %d ended late or in silence" % (late, len(FAULTS)) if late else 0)
