#!/usr/bin/env bash
# Adds made-up operations to a copy of the tree: Squash, of one operand, and Center, over pages (tests/ops/*.patch), and
# counts the source files that each touches: at most seven and nine. With --build, builds the language and its backends
# with both of them there and runs their tests, which compare every operation of the table with the oracle and compile it
# for CUDA. Minutes of building: not part of scripts/test.sh, which only counts.
# usage: scripts/check_op_count.sh [--build]
set -euo pipefail
cd "$(dirname "$0")/.."
copy=build/op_count

fresh_copy() {
  mkdir -p "$copy"
  find "$copy" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract --directory "$copy"
}

add_op() {  # PATCH MOST
  local files
  GIT_CEILING_DIRECTORIES=$PWD/build git -C "$copy" apply -C1 "$PWD/tests/ops/$1.patch"
  files=$(sed -n 's/^+++ b\///p' "tests/ops/$1.patch" | grep -vcE '^(tests|docs)/')
  echo "$1: $files source files"
  [ "$files" -le "$2" ] || { echo "error: more than $2" >&2; exit 1; }
}

fresh_copy
add_op one_operand 7
add_op over_pages 9
[ "${1:-}" = --build ] || exit 0

targets="core_vflow_tests kernels_cpu_tests core_compile_tests core_reference_tests"
(cd "$copy" && cmake --preset cuda >build.log)
if grep -q vortex_compile_cuda "$copy/build/cuda/build.ninja"; then targets+=" core_compile_cuda_tests"; fi
# shellcheck disable=SC2086
cmake --build "$copy/build/cuda" --target $targets
for target in $targets; do
  OMP_NUM_THREADS=1 "$copy/build/cuda/bin/$target" --gtest_brief=1
done
