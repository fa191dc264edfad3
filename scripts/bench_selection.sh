#!/usr/bin/env bash
# The planted-truth benchmark of selection; the result goes to docs/benchmarks/selection.json.
# usage: scripts/bench_selection.sh [worlds, 400] [first seed, the date] [build folder, build/cuda]
set -euo pipefail
cd "$(dirname "$0")/.."
worlds=${1:-400}
seed=${2:-$(( $(date +%s) / 86400 * 1000000 ))}
build=${3:-build/cuda}
cmake --build "$build" --target selection_bench
"$build/bin/selection_bench" "$worlds" "$seed" >docs/benchmarks/selection.json.part
mv docs/benchmarks/selection.json.part docs/benchmarks/selection.json
