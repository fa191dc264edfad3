#!/usr/bin/env bash
# The planted-truth benchmark of selection; the result goes to docs/benchmarks/selection.json.
# usage: scripts/bench_selection.sh [worlds, 200] [build folder, build/cuda]
set -euo pipefail
cd "$(dirname "$0")/.."
worlds=${1:-200}
build=${2:-build/cuda}
cmake --build "$build" --target selection_bench
"$build/bin/selection_bench" "$worlds" >docs/benchmarks/selection.json.part
mv docs/benchmarks/selection.json.part docs/benchmarks/selection.json
