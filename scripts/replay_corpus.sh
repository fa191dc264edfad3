#!/usr/bin/env bash
# Runs every input kept in tests/fuzz/corpus through its fuzz target once, under the address, leak and undefined-behaviour
# sanitizers. Needs no libFuzzer: any compiler does (CXX, default c++). Builds only what the targets use; ccache helps.
# usage: scripts/replay_corpus.sh [target...]     targets: those of tests/fuzz (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename -a -s _fuzz.cpp tests/fuzz/*_fuzz.cpp)
build=build-fuzz/replay
rm -rf "$build"
mkdir -p "$build"
compiler="${CXX:-c++}"
command -v ccache >/dev/null && compiler="ccache $compiler"
flags="-std=c++20 -O1 -g1 -I. -DVORTEX_BPE -fno-sanitize-recover=all -fsanitize=address,undefined"

sources=(base/*.cpp job/*.cpp core/vflow/{*,*/*}.cpp core/model/{tokenizer,unicode,word_level,safetensors,bpe/*,jinja/*}.cpp evals/grading/*.cpp evals/tasks/task_file.cpp \
  study/prediction.cpp agent/llm/{markdown,reply,sse}.cpp tests/fuzz/replay.cpp)
for target in "${targets[@]}"; do sources+=("tests/fuzz/${target}_fuzz.cpp"); done
printf '%s\n' "${sources[@]}" |
  xargs -P "$(nproc)" -I{} bash -c '$0 -c "$1" -o "'"$build"'/$(echo "$1" | tr / _).o"' "$compiler $flags" {}

for target in "${targets[@]}"; do
  $compiler $flags "$build"/{base,core,evals,job,study,agent}_*.o "$build/tests_fuzz_replay.cpp.o" \
    "$build/tests_fuzz_${target}_fuzz.cpp.o" -lcrypto -lpcre2-8 -lutf8proc -o "$build/$target"
  inputs=(tests/fuzz/corpus/"$target"/*)
  "$build/$target" "${inputs[@]}" 2>"$build/$target.log" || {
    echo "error: $target fails; the last input named here is the one:" >&2
    tail -n 60 "$build/$target.log" >&2
    exit 1
  }
done
