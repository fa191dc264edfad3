#!/usr/bin/env bash
# Long runs that scripts/test.sh has no time for.
# usage: scripts/soak.sh nights [50] [build folder, build/cuda]        simulated nights, each with other faults: kills,
#                                                                    crashes of workers, outages, full disks, jumping clocks
#        scripts/soak.sh candidates [10000] [build folder]            one search with an evaluator that takes no time: memory,
#                                                                    descriptors, rows and time a candidate, as a table
#        scripts/soak.sh schedules [1000] [build folder] [seed, 1]    system calls that fail, each seed at other places
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-nights}
build=${3:-build/cuda}
case $what in
  nights)
    cmake --build "$build" --target agent_tests
    VORTEX_NIGHTS=${2:-50} "$build/bin/agent_tests" --gtest_filter='Seeds/NightTest.*' --gtest_brief=1 ;;
  candidates)
    cmake --build "$build" --target soak_bench
    "$build/bin/soak_bench" "${2:-10000}" ;;
  schedules)
    cmake --build "$build" --target faulty_search faulty_calls
    tests/faults/schedules.py "$build/bin/faulty_search" "$build/tests/libfaulty_calls.so" "${2:-1000}" "${4:-1}" ;;
  *)
    sed -n '2,8s/^# //p' "$0" >&2
    exit 1 ;;
esac
