#!/usr/bin/env bash
# Compares the engine with Hugging Face transformers, and token ids with tokenizers, on a machine that has these packages.
#   scripts/reference.sh [--build DIR] [--out DIR] [--cuda] [--quick] [--tokenizer DIR]
# --build DIR      the build's folder (default build-reference); what is missing is built, what is there is kept
# --out DIR        where reference.txt (the tables) and reference.json (their figures) go (default: the build's folder)
# --cuda           the CUDA engine as well (its build takes minutes)
# --quick          four layers of every geometry only; without it Qwen3 0.6B and 1.7B run at full depth as well
# --tokenizer DIR  DIR has tokenizer.json, strings.jsonl and ours.jsonl, made as scripts/compare_tokenizer.py says
# Ends with a table; the exit code tells whether all agree. About four minutes on 16 cores.
set -euo pipefail
cd "$(dirname "$0")/.."
build=build-reference
out=
cuda=OFF
quick=false
tokenizer=
while [ $# -gt 0 ]; do
  case "$1" in
    --build) build=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --cuda) cuda=ON; shift ;;
    --quick) quick=true; shift ;;
    --tokenizer) tokenizer=$2; shift 2 ;;
    *) echo "unknown option $1" >&2; exit 1 ;;
  esac
done
out=${out:-$build}
logs=$build/reference
mkdir -p "$out" "$logs"
rm -f "$logs"/*

cublas=$(scripts/find_in_pytorch.sh cublasLt)
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DVORTEX_ENGINE_ONLY=ON -DVORTEX_ORACLE=OFF \
  -DVORTEX_CUDA=$cuda ${cublas:+-DVORTEX_CUBLASLT_HINT="$cublas"} >"$logs/configure.log" 2>&1 ||
  { tail -n 30 "$logs/configure.log"; exit 1; }
cmake --build "$build" --target model_logits core_engine_tests core_model_tests >"$logs/build.log" 2>&1 ||
  { grep -E "error|FAILED" "$logs/build.log" | head -n 30; exit 1; }

status=0
# part NAME SECONDS COMMAND...
part() {
  local name=$1 limit=$2
  shift 2
  echo "== $name ($(date +%T))"
  timeout "$limit" "$@" >"$logs/$name.log" 2>&1 || { status=1; echo "$name: failed"; tail -n 20 "$logs/$name.log"; }
}
compare() {  # NAME SECONDS DEVICE ARGUMENT...
  local name=$1 limit=$2 device=$3
  shift 3
  part "$name" "$limit" python3 scripts/compare_transformers.py --program "$build/bin/model_logits" --device "$device" \
    --json "$logs/$name.json" "$@"
}

part tests 120 sh -c "$build/bin/core_model_tests --gtest_brief=1 && $build/bin/core_engine_tests --gtest_brief=1"
if [ -n "$tokenizer" ]; then
  part tokenizer 60 python3 scripts/compare_tokenizer.py compare "$tokenizer/tokenizer.json" "$tokenizer/strings.jsonl" \
    "$tokenizer/ours.jsonl"
fi
compare logits-4-layers 150 cpu --layers 4
[ "$cuda" = OFF ] || compare logits-cuda 100 cuda --layers 4
if ! $quick; then
  # Rounding adds up over the layers: the limits grow with their number.
  compare logits-qwen3-0.6b 90 cpu --layers 0 --models Qwen3-0.6B --lengths 17,1000 --tolerance 0.05
  compare logits-qwen3-1.7b 120 cpu --layers 0 --models Qwen3-1.7B --lengths 17,500 --tolerance 0.05
fi

echo "== summary"
{
  for name in tests tokenizer; do
    [ -f "$logs/$name.log" ] && echo "$name: $(tail -n 1 "$logs/$name.log")"
  done
  for log in "$logs"/logits-*.log; do
    echo "$(basename "$log" .log):"
    cat "$log"
  done
} | tee "$out/reference.txt"
python3 -c 'import json, pathlib, sys
parts = {path.stem: json.loads(path.read_text()) for path in sorted(pathlib.Path(sys.argv[1]).glob("logits-*.json"))}
pathlib.Path(sys.argv[2]).write_text(json.dumps(parts, indent=1) + "\n")' "$logs" "$out/reference.json"
exit "$status"
