#!/usr/bin/env bash
# The evolver beside its control arm, where children resemble their parents; the result goes to
# docs/benchmarks/search_arms.json.
# usage: scripts/bench_search.sh [worlds, 40] [evaluations of both arms together, 60] [build folder, build/cuda]
set -euo pipefail
cd "$(dirname "$0")/.."
worlds=${1:-40}
evaluations=${2:-60}
build=${3:-build/cuda}
cmake --build "$build" --target search_bench
"$build/bin/search_bench" "$worlds" "$evaluations" >docs/benchmarks/search_arms.json.part
mv docs/benchmarks/search_arms.json.part docs/benchmarks/search_arms.json
