#!/usr/bin/env bash
# Builds, tests and measures on a machine with a GPU.
#   scripts/gpu.sh [--build DIR] [--out DIR] [--check] PART...
# Parts, in the order given:
#   tests    the tests of the CUDA kernels and of the CUDA engine
#   kernels  the kernels' microbenchmark
#   step     whole decode steps: dense and block top-k, bf16 and fp8, beside the limit model
#   trace    the AIME24-shaped trace: dense, block top-k, block top-k with fp8 KV
#   serve    a served load of 16K-token prompts
#   torch    the dense baseline from PyTorch parts (needs PyTorch)
# --build DIR  the build's folder (default build-gpu); what is missing is built, what is there is kept
# --out DIR    where logs and measurements go (default: the build's folder)
# --check      also run the quicker kernel tests under compute-sanitizer: memcheck, and racecheck on some of every kernel
set -euo pipefail
cd "$(dirname "$0")/.."
build=build-gpu
out=
check=false
while [[ ${1:-} == --* ]]; do
  case "$1" in
    --build) build=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --check) check=true; shift ;;
    *) echo "unknown option $1" >&2; exit 1 ;;
  esac
done
out=${out:-$build}
mkdir -p "$build" "$out"
bin=$build/bin
bench=$bin/vortex-bench
policy=examples/policies/block_topk.py

# A CUDA toolkit may come without cuBLASLt's files; then those that PyTorch brings will do.
cublas=$(python3 -c 'import glob, os, sys
for path in sys.path:
    for found in sorted(glob.glob(os.path.join(path, "nvidia", "*", "lib", "libcublasLt.so.*"))):
        print(found); sys.exit()' 2>/dev/null || true)
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DVORTEX_ENGINE_ONLY=ON -DVORTEX_WORKER=OFF \
  ${cublas:+-DVORTEX_CUBLASLT_HINT="$cublas"} >"$out/configure.log" 2>&1 || { tail -n 30 "$out/configure.log"; exit 1; }
cmake --build "$build" --target vortex-bench vortex-bench-kernels kernels_cuda_tests core_engine_cuda_tests \
  >"$out/build.log" 2>&1 || { grep -E "error|FAILED" "$out/build.log" | head -n 30; exit 1; }
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu --format=csv,noheader || true

status=0
# run NAME SECONDS COMMAND...: the end of its output is shown, all of it is kept.
run() {
  local name=$1 limit=$2
  shift 2
  echo "== $name ($(date +%T))"
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || { status=$?; echo "$name: exit code $status"; }
  tail -n 45 "$out/$name.log"
}

sanitize() {
  run "$1" 120 compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/kernels_cuda_tests" --gtest_brief=1 \
    --gtest_filter="$2"
}

part() {
  local pages=("--policy" "$policy" --pages 64)
  local aime=("--policy" "$policy" --ratio 0.0625 --dense-layers 0 --max-batch 512 --max-context 32768)
  case "$1" in
    tests)
      run kernel-tests 60 "$bin/kernels_cuda_tests" --gtest_brief=1
      run engine-tests 100 "$bin/core_engine_cuda_tests" --gtest_brief=1
      if $check; then
        sanitize memcheck '-*RightDistribution*:*LargeVocabulary*:*LongRows*:*EverySchedule*'
        sanitize racecheck '*Adversarial*:*Fused*:*DependsOn*:*TopKOf*:*Allocates*:*EveryShape:*Covering*:Append*:Elementwise*'
      fi ;;
    kernels) run kernels 90 "$bin/vortex-bench-kernels" --json "$out/kernels.json" ;;
    step)
      run step-dense 60 "$bench" step 64x8192 32x16384 --device cuda --kv-gb 62
      run step-topk 60 "$bench" step 64x8192 32x16384 8x16384 1x16384 --device cuda --kv-gb 63 "${pages[@]}"
      run step-topk-invariant 60 "$bench" step 64x8192 32x16384 --device cuda --kv-gb 63 --batch-invariant "${pages[@]}"
      run step-topk-fp8 60 "$bench" step 64x8192 128x8192 --device cuda --max-batch 128 --kv fp8_e4m3 --kv-gb 66 "${pages[@]}" ;;
    trace)
      run trace-dense 60 "$bench" trace --device cuda --max-batch 512 --max-context 32768 --windows 16
      run trace-topk 60 "$bench" trace --device cuda "${aime[@]}" --windows 24
      run trace-topk-fp8 60 "$bench" trace --device cuda "${aime[@]}" --windows 24 --kv fp8_e4m3 ;;
    serve)
      run serve-dense 60 "$bench" serve-sim --device cuda --prompt 16384 --requests 24 --outputs 128 --max-batch 24 --max-context 20480 --rate 2
      run serve-topk 60 "$bench" serve-sim --device cuda --prompt 16384 --requests 24 --outputs 128 --max-batch 24 --max-context 20480 --rate 2 "${pages[@]}" ;;
    torch) run torch 100 python3 scripts/torch_dense_baseline.py 64x8192 ;;
    *) echo "unknown part $1" >&2; exit 1 ;;
  esac
}

for name in "$@"; do part "$name"; done
exit "$status"
