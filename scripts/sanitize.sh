#!/usr/bin/env bash
# The tests of the orchestrator (store, loop, proposers, supervisor, servers) under the thread sanitizer, or under the
# address and undefined-behaviour sanitizers. Not part of scripts/test.sh: it builds most of the tree once more. What
# reads foreign bytes runs there under address and undefined behaviour all the same (scripts/replay_corpus.sh).
# usage: scripts/sanitize.sh [tsan|asan] [test, a regular expression of ctest...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-tsan}
shift || true
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=('^(base|job|db|net|fetch|sandbox|study|agent|agent/llm|web|fleet|serve)$')
new=()
[ -f "build/$preset/CMakeCache.txt" ] || new=(-DVORTEX_UNITY=ON)
cmake --preset "$preset" "${new[@]}" > /dev/null
names=()
while read -r name; do
  target=${name//\//_}_tests
  names+=("$target")
done < <(ctest --test-dir "build/$preset" -N -R "$(IFS='|'; echo "${tests[*]}")" | sed -n 's/^ *Test *#[0-9]*: //p')
cmake --build "build/$preset" --target "${names[@]}" vortex-keeper
# The keeper and its children are single-threaded programs that fork; everything else that is reported counts.
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 die_after_fork=0"
export ASAN_OPTIONS="halt_on_error=1 detect_stack_use_after_return=1" UBSAN_OPTIONS="halt_on_error=1 print_stacktrace=1"
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -R "$(IFS='|'; echo "${tests[*]}")"
