#!/usr/bin/env bash
# Tests of the orchestrator under the thread sanitizer, or of it and all else under the address and undefined-behaviour
# sanitizers. scripts/test.sh runs those of the fleet under the thread sanitizer, where most threads meet, and
# what reads foreign bytes under the other two (scripts/replay_corpus.sh); the rest would build most of the tree once more.
# usage: scripts/sanitize.sh [tsan|asan] [test, a regular expression of ctest...]
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-tsan}
shift || true
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=('^(base|job|db|net|fetch|sandbox|study|agent|agent/llm|web|fleet|serve)$')
new=()
# LibTorch is not built for sanitizers, so the oracle stays out.
[ -f "build/$preset/CMakeCache.txt" ] || new=(-DVORTEX_UNITY=ON -DVORTEX_ORACLE=OFF)
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
# Older sanitizers do not start where the kernel places programs with 32 random bits.
fixed=()
setarch "$(uname -m)" -R true 2>/dev/null && fixed=(setarch "$(uname -m)" -R)
"${fixed[@]}" ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel 2 -R "$(IFS='|'; echo "${tests[*]}")"
