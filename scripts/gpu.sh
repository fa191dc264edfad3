#!/usr/bin/env bash
# Builds, tests and measures the CUDA kernels on a machine with a GPU.
#   scripts/gpu.sh [--bin DIR] [--out DIR] [--check] [-- BENCH_ARGS...]
# --bin DIR    where the programs are (a CMake build's bin directory will do); if they are missing, they are built into it
# --out DIR    where the log and the measurements go (default: the bin directory)
# --check      also run the quicker tests under compute-sanitizer: memcheck, and racecheck on some of every kernel
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build-gpu
out=
check=false
while [ $# -gt 0 ]; do
  case "$1" in
    --bin) bin=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --check) check=true; shift ;;
    --) shift; break ;;
    *) echo "unknown option $1" >&2; exit 1 ;;
  esac
done
out=${out:-$bin}
mkdir -p "$bin" "$out"

build() {
  local nvcc=${NVCC:-/usr/local/cuda/bin/nvcc}
  local objects=$bin/objects
  local sources
  mkdir -p "$objects"
  sources=$(ls kernels/cuda/*.cu kernels/cuda/bench/*.cpp tests/kernels/cuda/*_test.cpp)
  # shellcheck disable=SC2016
  echo "$sources" | xargs -P "$(nproc)" -I{} sh -c \
    'o="$1/$(echo "$3" | tr / _).o"; "$2" -std=c++20 -O3 -arch=sm_90 -lineinfo -I. -c "$3" -o "$o"' _ "$objects" "$nvcc" {}
  "$nvcc" -arch=sm_90 "$objects"/kernels_cuda_*.cu.o "$objects"/tests_*.o -lgtest -lgtest_main -o "$bin/kernels_cuda_tests"
  "$nvcc" -arch=sm_90 "$objects"/kernels_cuda_*.cu.o "$objects"/kernels_cuda_bench_*.o -o "$bin/vortex-bench-kernels"
}

[ -x "$bin/kernels_cuda_tests" ] || build
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu --format=csv,noheader
status=0
"$bin/kernels_cuda_tests" --gtest_brief=1 2>&1 | tee "$out/tests.log" || status=$?
if $check; then
  sanitize() {
    compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter="$2" 2>&1 |
      tee "$out/$1.log" | tail -n 5 || status=$?
  }
  sanitize memcheck '-*RightDistribution*:*LargeVocabulary*:*LongRows*:*EverySchedule*'
  sanitize racecheck '*Adversarial*:*Fused*:*DependsOn*:*TopKOf*:*Allocates*:*EveryShape:*Covering*:Append*:Elementwise*'
fi
"$bin/vortex-bench-kernels" --json "$out/kernels.json" "$@" 2>&1 | tee "$out/bench.log" || status=$?
exit "$status"
