#!/bin/bash
# Fuzzes what reads foreign bytes (policies, configurations, schedules, answers, templates, tokenizer, weight and model
# files, task files, replies, streams of events, the workers' protocol) with libFuzzer, address, undefined-behaviour and
# leak sanitizers.
# usage: scripts/fuzz.sh [seconds a target, default 60; 3600: an hour each] [target...]     targets: those of tests/fuzz (default: all)
#        scripts/fuzz.sh --build-only OUT   OUT is then a folder to be carried elsewhere: OUT/run.sh SECONDS JOBS [target...]
#                                           needs neither a compiler nor this tree
#        scripts/fuzz.sh keep [target...]   adds to tests/fuzz/corpus what build-fuzz/corpus covers and it does not
#        scripts/replay_corpus.sh           runs what is kept, without libFuzzer; part of scripts/test.sh
# Needs clang++. What a run found interesting is in OUT/corpus (OUT: build-fuzz), what ended it in OUT/crashes.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/fuzz/sources.sh
out=build-fuzz
seconds=60
case ${1:-} in
  --build-only) out=${2:?usage: scripts/fuzz.sh --build-only OUT}; seconds=; shift 2 ;;
  '') ;;
  *) seconds=$1; shift ;;
esac
[ $# -eq 0 ] || fuzz_targets=("$@")
objects=build-fuzz/objects
mkdir -p "$objects" "$out/bin" "$out/corpus" "$out/kept"
compiler=clang++
command -v ccache >/dev/null && compiler="ccache $compiler"
flags="-std=c++20 -O1 -gline-tables-only -I. -DVORTEX_BPE -fno-sanitize-recover=all -fsanitize=fuzzer-no-link,address,undefined"

build() {
  local newest
  newest=$(find base core evals job study agent/llm tests/fuzz -name '*.h' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)
  local stale=()
  for source in "${fuzz_sources[@]}" "${fuzz_targets[@]/%/_fuzz.cpp}"; do
    [ -e "$source" ] || source=tests/fuzz/$source
    object="$objects/$(echo "$source" | tr / _).o"
    [ "$object" -nt "$source" ] && [ "$object" -nt "$newest" ] || stale+=("$source")
  done
  [ ${#stale[@]} -eq 0 ] || printf '%s\n' "${stale[@]}" |
    xargs -P "$(nproc)" -I{} bash -c '$0 -c "$1" -o "'"$objects"'/$(echo "$1" | tr / _).o"' "$compiler $flags" {}
  link
}

# One program for all targets (tests/fuzz/choose.cpp). Everything but the C library is linked in: it runs elsewhere.
link() {
  local linked=()
  for source in "${fuzz_sources[@]}"; do linked+=("$objects/$(echo "$source" | tr / _).o"); done
  for target in "${fuzz_targets[@]}"; do
    linked+=("$objects/named_$target.o")
    objcopy --redefine-sym "LLVMFuzzerTestOneInput=fuzz_$target" "$objects/tests_fuzz_${target}_fuzz.cpp.o" "${linked[-1]}"
    ln -sf ../fuzz "$out/bin/$target"
  done
  printf 'TARGET(%s)\n' "${fuzz_targets[@]}" >"$objects/targets.inc"
  clang++ -std=c++20 -O1 -I"$objects" -fsanitize=fuzzer,address,undefined tests/fuzz/choose.cpp "${linked[@]}" \
    -static-libstdc++ -static-libgcc -l:libcrypto.a -l:libpcre2-8.a -l:libutf8proc.a -o "$out/fuzz"
}

# Something to begin with, beside what is kept.
seed() {
  local corpus=$out/corpus/$1
  mkdir -p "$corpus" "$out/kept/$1"
  [ ! -d "tests/fuzz/corpus/$1" ] || cp -r "tests/fuzz/corpus/$1" "$out/kept/"
  case $1 in
    check) for f in examples/policies/*.py tests/cases/check/modules/*.py; do
        { cat "$f"; printf '\0'; cat "${f%.py}.json"; } > "$corpus/$(basename "$f")"; done ;;
    config) cp examples/policies/*.json "$corpus/" ;;
    safetensors) head -c 6000 models/chain-4m/model.safetensors > "$corpus/cut" ;;
    tasks) for f in examples/tasks/*.json; do cp "$f" "$corpus/"; done ;;
    replies) cp examples/recorded-search/replies/*.md "$corpus/" ;;
    model) for f in models/*/config.json; do cp "$f" "$corpus/$(basename "$(dirname "$f")")"; done ;;
    stream) python3 tests/fuzz/stream_seeds.py tests/cases/llm/bodies.json "$corpus" ;;
    roster) sed -n '/^{$/,/^ *.*]}$/p' docs/proposers.md | sed '/^```/,$d' > "$corpus/example" ;;
    grading) printf '\\frac{1}{2}\0So \\boxed{x=\\frac12 \\text{ or } [0,1)\\cup\\{2^{3},\\sqrt3\\}}' > "$corpus/seed" ;;
    schedule) printf 'const int a = topk_val; if (a > 3) return max(a, int(cached_block_len * topk_ratio)); return 4;' > "$corpus/seed" ;;
  esac
}

if [ "$seconds" = keep ]; then
  for target in "${fuzz_targets[@]}"; do
    # A small set: one input for each branch reached, not for each count of it.
    mkdir -p "tests/fuzz/corpus/$target"
    "$out/bin/$target" -set_cover_merge=1 -use_counters=0 -max_len=3000 -timeout=60 "tests/fuzz/corpus/$target" "$out/corpus/$target"
  done
  exit
fi
build
for target in "${fuzz_targets[@]}"; do seed "$target"; done
# Words of the language, of tokenizer and model files and of wire formats, so that mutations make programs and not only noise.
grep -ohE '"[A-Za-z_0-9.@=<>*/ ]{2,24}"' "${fuzz_sources[@]}" | grep -v '\.h"' | sort -u >"$out/words"
cp tests/fuzz/run.sh "$out/run.sh"
[ -z "$seconds" ] || "$out/run.sh" "$seconds" "$(nproc)" "${fuzz_targets[@]}"
