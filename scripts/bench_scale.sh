#!/usr/bin/env bash
# What the orchestrator costs with 1 to 512 workers elsewhere, by simulation: workers dial in from another process and
# make their results up. A line of JSON each: CPU a candidate, memory, and how busy the workers were.
# usage: scripts/bench_scale.sh [CANDIDATES (100000)] [TASK_SECONDS of the second part (2)]
set -euo pipefail
cd "$(dirname "$0")/.."
candidates=${1:-100000}
seconds=${2:-2}
ulimit -n 4096
cmake --build build/cuda --target scale_bench > /dev/null
echo "# tasks that take no time: what the orchestrator itself costs"
for workers in 1 8 64 256 512; do
  build/cuda/bin/scale_bench "$workers" $((candidates / (workers < 64 ? 50 : 10))) 0 "$workers"
done
echo "# all candidates at once, 64 workers"
build/cuda/bin/scale_bench 64 "$candidates" 0 64
echo "# tasks of $seconds s on average, between half of that and one and a half times: how busy the workers are"
for workers in 8 64 256; do
  for batches in 1 4; do
    build/cuda/bin/scale_bench "$workers" $((workers * 16)) "$seconds" $((workers * batches))
  done
done
