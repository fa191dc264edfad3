#!/usr/bin/env bash
# Runs every input kept in tests/fuzz/corpus through its fuzz target once, under the address, leak and undefined-behaviour
# sanitizers; then counts the work of `vortex check` on hostile policies (tests/core/vflow/linear.py). Needs no libFuzzer:
# any compiler does (CXX, default c++). Builds only what the targets use; ccache helps.
# usage: scripts/replay_corpus.sh [target...]     targets: those of tests/fuzz (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/fuzz/sources.sh
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${fuzz_targets[@]}")
build=build-fuzz/replay
rm -rf "$build"
mkdir -p "$build"
compiler="${CXX:-c++}"
command -v ccache >/dev/null && compiler="ccache $compiler"
flags="-std=c++20 -g1 -I. -Wno-subobject-linkage -DVORTEX_BPE -fno-sanitize-recover=all -fsanitize=address,undefined"
flags+=" -fsanitize-coverage=trace-pc"  # linear.py counts by it

# Sources of a folder are compiled eight at a time, as CMake does with VORTEX_UNITY; those that it keeps apart stay so.
join() {  # what to compile, a line each
  local folder first file group=0 members=0 last=
  for file in "${fuzz_sources[@]}"; do
    case $file in core/model/* | evals/grading/* | job/protocol.cpp | agent/llm/wire_?*.cpp) echo "$file"; continue ;; esac
    folder=${file%/*}
    if [ "$folder" != "$last" ] || [ $members -eq 8 ]; then
      members=0 last=$folder group=$((group + 1)) first=$build/joined/$folder/joined_$group.cpp
      mkdir -p "${first%/*}"
      echo "$first"
    fi
    echo "#include \"$file\"" >>"$first"
    members=$((members + 1))
  done
}

# Optimised only where linear.py counts, whose limits are for such code: the rest compiles in little more than half the time.
compile() {  # COMMAND SOURCE
  local level=-O0 name=${2#"$build/joined/"}
  case $name in base/* | core/vflow/* | tests/core/vflow/*) level=-O1 ;; esac
  $1 $level -c "$2" -o "$build/${name//\//_}.o"
}
export -f compile
export build
mapfile -t sources < <(join)
sources+=(tests/fuzz/replay.cpp tests/core/vflow/check_work.cpp)
for target in "${targets[@]}"; do sources+=("tests/fuzz/${target}_fuzz.cpp"); done
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I{} bash -c 'compile "$0" "$1"' "$compiler $flags" {}

link() {  # PROGRAM OBJECT...
  $compiler $flags "${@:2}" -lcrypto -lpcre2-8 -lutf8proc -o "$1"
}
for target in "${targets[@]}"; do
  link "$build/$target" "$build"/{base,core,evals,job,study,agent}_*.o "$build/tests_fuzz_replay.cpp.o" \
    "$build/tests_fuzz_${target}_fuzz.cpp.o"
  inputs=(tests/fuzz/corpus/"$target"/*)
  "$build/$target" "${inputs[@]}" 2>"$build/$target.log" || {
    echo "error: $target fails; the last input named here is the one:" >&2
    tail -n 60 "$build/$target.log" >&2
    exit 1
  }
done
[ $# -gt 0 ] || {
  link "$build/check_work" "$build"/{base,core_vflow}_*.o "$build/tests_core_vflow_check_work.cpp.o"
  tests/core/vflow/linear.py "$build/check_work" quick
}
