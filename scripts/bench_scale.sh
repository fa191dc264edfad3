#!/usr/bin/env bash
# What a search costs that runs on 1 to 512 workers elsewhere (they dial in from another process and make their results
# up), and how busy it keeps them. A line of JSON each: CPU time a candidate of the orchestrator's process, its memory, how
# busy the workers were.
# usage: scripts/bench_scale.sh cost [CANDIDATES (100000)]       tasks that take no time
#        scripts/bench_scale.sh efficiency [SECONDS (60)]        256 workers on a made-up clock, climbs of so many seconds
set -euo pipefail
cd "$(dirname "$0")/.."
part=${1:-cost}
ulimit -n 4096
cmake --build build/cuda --target scale_bench overlap_bench > /dev/null
bench=build/cuda/bin/scale_bench
case $part in
  cost)
    candidates=${2:-100000}
    echo "# by the number of workers, whose batches are as large"
    for workers in 1 8 64 256 512; do
      "$bench" "$workers" $((workers < 64 ? 500 : 2048)) 0 "$workers"
    done
    echo "# all candidates, 512 workers"
    "$bench" 512 "$candidates" 0 512 0.5 2
    ;;
  efficiency)
    seconds=${2:-60}
    bench=build/cuda/bin/overlap_bench
    echo "# without and with overlapping batches; climbs that all take as long, or up to half more or less"
    "$bench" 256 4096 "$seconds" 256 0 0
    "$bench" 256 4096 "$seconds" 256 0 0.5
    "$bench" 256 6144 "$seconds" 256 1 0
    "$bench" 256 8192 "$seconds" 256 1 0.5
    "$bench" 256 8192 "$seconds" 256 2 0.5
    ;;
  *) echo "usage: scripts/bench_scale.sh cost|efficiency [...]" >&2; exit 1 ;;
esac
