#!/usr/bin/env bash
# `vortex serve` under clients that connect, stall, hang up, send garbage and huge bodies, for some minutes: nothing may
# leak (pages, memory, descriptors), and the tokens of everybody else stay the same. Not part of the test run.
# usage: scripts/serve_soak.sh [MINUTES] [CLIENTS] [VORTEX]     (10 minutes, 200 clients, build/cuda/bin/vortex)
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-10}
clients=${2:-200}
vortex=$(realpath "${3:-build/cuda/bin/vortex}")
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
# Little KV, so that requests wait for pages and kept prompts make room. One thread: what others do with the machine
# then slows it down less than in proportion to the times that two threads would wait for each other.
"$vortex" serve models/chain-4m --policy examples/policies/block_topk.py --port 0 --batch 8 --queue 64 --context 3000 \
  --kv-gb 0.03 --threads 1 \
  > "$folder/url.txt" 2> "$folder/err.txt" &
server=$!
for _ in $(seq 600); do [ -s "$folder/url.txt" ] && break; kill -0 $server 2>/dev/null || break; sleep 0.1; done
[ -s "$folder/url.txt" ] || { cat "$folder/err.txt" >&2; exit 1; }
python3 tests/serve/soak.py "$(cat "$folder/url.txt")" "$server" "$minutes" "$clients" tests/cases/generate/chain_prompt.txt
kill -TERM $server
wait $server || { echo "FAILED: the server's exit code is $?" >&2; exit 1; }
server=
