#!/usr/bin/env bash
# The planted-truth benchmark of selection, four worlds a process on every core; the sums go to
# docs/benchmarks/selection.json.
# usage: scripts/bench_selection.sh [worlds, 400] [first seed, the date] [build folder, build/cuda]
set -euo pipefail
cd "$(dirname "$0")/.."
worlds=${1:-400}
seed=${2:-$(( $(date +%s) / 86400 * 1000000 ))}
build=${3:-build/cuda}
cmake --build "$build" --target selection_bench
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
seq "$seed" 4 $((seed + worlds - 1)) |
  xargs -P "$(nproc)" -I{} sh -c '"$0" 4 {} >"$1/{}.json"' "$build/bin/selection_bench" "$parts"
scripts/sum_selection.py docs/benchmarks/selection.json "$parts"/*.json
