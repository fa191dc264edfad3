#!/usr/bin/env bash
# What clients of `vortex serve` see while long prompts arrive among short requests that decode, for several servers in
# turns: a table for each server and turn. docs/benchmarks/serve.md has figures.
# usage: scripts/bench_serve.sh TURNS SERVER...     each SERVER: a label, '=', the program with its options, e.g.
#   scripts/bench_serve.sh 3 "before=old/vortex serve" "after=build/cuda/bin/vortex serve --chunk-ms 50"
# environment: MODEL (models/chain-4m), POLICY (examples/policies/block_topk.py), SECONDS_OF_LOAD (60), LONG_EVERY (6),
# SHORT_EVERY (1), LONG (3500 tokens), ANSWER (400 tokens of the short ones), SHARED (0: blocks of 512 tokens that all
# long prompts begin with), LOAD (the program that sends: build/cuda/bin/vortex-bench-load), LOAD_OPTIONS
set -euo pipefail
cd "$(dirname "$0")/.."
turns=${1:?usage: scripts/bench_serve.sh TURNS LABEL=COMMAND...}
shift
model=${MODEL:-models/chain-4m}
load=${LOAD:-build/cuda/bin/vortex-bench-load}
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 - "${SECONDS_OF_LOAD:-60}" "${LONG_EVERY:-6}" "${SHORT_EVERY:-1}" "${LONG:-3500}" "${SHARED:-0}" "${ANSWER:-400}" > "$folder/trace.jsonl" <<'PYTHON'
import json
import sys

seconds, long_every, short_every, long, shared, answer = (float(value) for value in sys.argv[1:])
lines = []
for i in range(int(seconds / short_every)):
    lines.append((i * short_every, 160, int(answer), [1000 * i + 500]))
for i in range(int(seconds / long_every)):
    blocks = [10**7 + block if block < shared else 10**8 + 1000 * i + block for block in range(int(long) // 512 + 1)]
    lines.append(((i + 0.5) * long_every, int(long), 16, blocks))
for time, prompt, answer, blocks in sorted(lines):
    print(json.dumps({'timestamp': int(time * 1000), 'input_length': prompt, 'output_length': answer, 'hash_ids': blocks}))
PYTHON
vocab=$(python3 -c "import json, sys; print(json.load(open(sys.argv[1] + '/config.json'))['vocab_size'])" "$model")
for turn in $(seq "$turns"); do
  for entry in "$@"; do
    # shellcheck disable=SC2086
    ${entry#*=} "$model" --policy "${POLICY:-examples/policies/block_topk.py}" --port 0 > "$folder/url.txt" 2> "$folder/err.txt" &
    server=$!
    for _ in $(seq 1200); do [ -s "$folder/url.txt" ] && break; kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
    [ -s "$folder/url.txt" ] || { cat "$folder/err.txt" >&2; exit 1; }
    echo "## ${entry%%=*}, turn $turn, load average $(cut -d' ' -f1 /proc/loadavg)"
    # shellcheck disable=SC2086
    "$load" "$(cat "$folder/url.txt")" --model "$(basename "$model")" --vocab "$vocab" --trace "$folder/trace.jsonl" \
      --tpot 0.1 ${LOAD_OPTIONS:-}
    awk -v hz="$(getconf CLK_TCK)" '{ printf "processor time of the server: %.2f s\n", ($14 + $15) / hz }' "/proc/$server/stat"
    : > "$folder/url.txt"
    kill -TERM "$server"
    wait "$server" || true
    server=
  done
done
