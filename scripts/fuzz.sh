#!/bin/bash
# Fuzzes the policy front end and the grader with libFuzzer, address and undefined-behaviour sanitizers.
# usage: scripts/fuzz.sh [seconds a target, default 60]
# Needs clang++. Interesting inputs are kept in build-fuzz/corpus; a crash is written to build-fuzz/ and ends the run.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
build=build-fuzz
mkdir -p "$build"
flags=(-std=c++20 -O1 -g -I. -fno-sanitize-recover=all "-fsanitize=fuzzer-no-link,address,undefined")

objects=()
for source in core/base/*.cpp core/vflow/*.cpp evals/grading/*.cpp; do
  object="$build/$(echo "$source" | tr / _).o"
  objects+=("$object")
  if [ "$source" -nt "$object" ] || [ -n "$(find core evals/grading -name '*.h' -newer "$object" -print -quit 2>/dev/null)" ]; then
    clang++ "${flags[@]}" -c "$source" -o "$object"
  fi
done

for target in check config schedule grading; do
  corpus="$build/corpus/$target"
  mkdir -p "$corpus" "tests/fuzz/corpus/$target"
  case $target in
    check) for f in examples/policies/*.py tests/cases/check/modules/*.py; do
        { cat "$f"; printf '\0'; cat "${f%.py}.json"; } > "$corpus/$(basename "$f")"; done ;;
    config) cp examples/policies/*.json "$corpus/" ;;
    grading) printf '\\frac{1}{2}\0So \\boxed{x=\\frac12 \\text{ or } [0,1)\\cup\\{2^{3},\\sqrt3\\}}' > "$corpus/seed" ;;
    schedule) printf 'const int a = topk_val; if (a > 3) return max(a, int(cached_block_len * topk_ratio)); return 4;' > "$corpus/seed" ;;
  esac
  clang++ "${flags[@]}" -fsanitize=fuzzer,address,undefined "tests/fuzz/${target}_fuzz.cpp" "${objects[@]}" \
    -lcrypto -o "$build/${target}_fuzz"
  "$build/${target}_fuzz" -max_total_time="$seconds" -max_len=8192 -timeout=5 -rss_limit_mb=2048 \
    -artifact_prefix="$build/$target-" "$corpus" "tests/fuzz/corpus/$target"
done
