#!/usr/bin/env bash
# usage: bench.sh VORTEX_BENCH SOURCE_DIR
# Runs every benchmark on the CPU at a tiny geometry: the lines are there and their numbers make sense.
set -euo pipefail
bench=$1
cd "$2"
common=(--device cpu --geometry tiny --max-context 600 --max-batch 4)
policy=(--policy examples/policies/block_topk.py --pages 6)

# check NAME PYTHON_EXPRESSION: `lines` are the JSON lines of what came in.
check() {
  python3 -c "import json, sys
lines = json.load(sys.stdin)['lines']
assert ($2), lines" || { echo "$1: wrong output" >&2; exit 1; }
  echo "$1: ok"
}
"$bench" step 2x300 "${common[@]}" --steps 2 --samples 3 --format json |
  check dense 'lines[0]["min_s"] <= lines[0]["median_s"] <= lines[0]["max_s"] and lines[0]["tokens_per_s"] > 0'
"$bench" step 2x300 "${common[@]}" "${policy[@]}" --steps 2 --samples 3 --format json |
  check sparse '0 < lines[0]["bytes"] < 3e6'
"$bench" step 2x300 --device cpu --geometry tiny-latent --layers 2 --max-context 600 --max-batch 4 --steps 2 \
  --samples 3 --format json |
  check latent '0 < lines[0]["bytes"] < 2e6'
"$bench" step 2x300 --device cpu --geometry tiny-experts --layers 1 --max-context 600 --max-batch 4 --steps 2 \
  --samples 3 --format json |
  check experts '0 < lines[0]["bytes"] < 2e6'
"$bench" step 2x300 "${common[@]}" "${policy[@]}" --tensor-parallel 2 --steps 2 --samples 3 --format json |
  check ranks '0 < lines[0]["bytes"] < 2e6 and lines[2]["name"] == "2x300 exchanges" and lines[2]["value"] == 9'
"$bench" step fitx300 "${common[@]}" --kv-gb 0.00262144 --steps 2 --samples 3 --format json |
  check fit 'lines[0]["shape"] == "4x300"'
"$bench" ranks 1x100 "${common[@]}" "${policy[@]}" --tensor-parallel 2 --outputs 16 --format json |
  check "what ranks say" '(v := {line["name"]: line["value"] for line in lines}) and v["2 ranks, block_topk, same pages"] == 100 and
    0 < v["2 ranks, dense, log-probabilities apart, most"] < 1e-3 and
    v["2 ranks, block_topk, greedy tokens before one differs"] == v["2 ranks, dense, greedy tokens before one differs"] == 16'
for windows in 0 4; do
  "$bench" trace "${common[@]}" "${policy[@]}" --requests 20 --scale 0.5 --mean-output 60 --longest-output 200 --prompt 40 \
    --windows "$windows" --steps 4 --format json |
    check "trace with $windows windows" 'lines[0]["shape"] == "10 requests" and lines[0]["tokens_per_s"] > 0'
done
# The schedule keeps to the pool, here one of 80 pages, and plans every token once.
"$bench" trace "${common[@]}" --requests 30 --mean-output 200 --longest-output 500 --prompt 40 --windows 3 --steps 2 \
  --kv-gb 0.00262144 --format json |
  check "trace on a small pool" '(v := {line["name"]: line["value"] for line in lines[1:]}) and
    v["pages of the pool"] == 80 >= v["most of them held"] > 60 and v["tokens"] / v["decode steps"] > 2'
# The ladder's measure: the same requests under both sides, the ratio inside its interval.
"$bench" workload "${common[@]}" "${policy[@]}" --requests 12 --mean-output 60 --longest-output 200 --prompt 40 \
  --seconds 1 --format json |
  check workload '(v := {line["name"]: line["value"] for line in lines[2:]}) and v["turns"] >= 3 and
    v["speed over dense, from"] <= v["speed over dense"] <= v["speed over dense, to"] and
    lines[0]["shape"] == lines[1]["shape"] == "12 requests" and 0 < lines[1]["bytes"] < lines[0]["bytes"]'
if "$bench" workload "${common[@]}" 2>/dev/null; then echo "a workload without a policy was taken" >&2; exit 1; fi
"$bench" serve-sim "${common[@]}" --requests 5 --outputs 10 --prompt 100 --rate 100 --format json |
  check serve-sim 'all(line["value"] > 0 for line in lines) and len(lines) == 16 and
    (v := {line["name"]: line["value"] for line in lines}) and
    v["gap between tokens, P50"] <= v["gap between tokens, P99"] <= v["largest gap"]'
# Prompts and answers of many lengths, on a pool that few of them fill.
"$bench" serve-sim "${common[@]}" --requests 20 --outputs 10 --output-sigma 0.5 --prompt 100 --prompt-sigma 1 --rate 100 \
  --kv-gb 0.00262144 --format json |
  check "serve-sim of many lengths" '(v := {line["name"]: line["value"] for line in lines}) and
    v["dense bfloat16: requests"] == 20 and v["time to first token, P50"] < v["time to first token, P99"] and
    1 <= v["largest batch"] <= 4'
"$bench" prompt 100 300 "${common[@]}" --samples 2 --format json |
  check prompt '[line["shape"] for line in lines[::2]] == ["100", "300"] and lines[0]["tokens_per_s"] > 0 and
    all(line["unit"] == "TFLOP/s" and line["value"] > 0 for line in lines[1::2])'
"$bench" math 2x300 "${common[@]}" --steps 2 --samples 3 --format json |
  check math 'lines[0]["what"] == "prompt" and lines[0]["policy"] == "float32" and lines[0]["tokens_per_s"] > 0 and
    all(line["value"] > 0 for line in lines if "value" in line)'
"$bench" recall 3x300 "${common[@]}" "${policy[@]}" --outputs 20 --look-every 4 --format json |
  check recall '(v := {line["name"]: line["value"] for line in lines}) and len(v) == 12 and
    0 < v["3x300 mass_recall_chosen"] < v["3x300 mass_recall"] < 1 and 0 < v["3x300 index_recall"] <= 1'
if message=$("$bench" step 2x9999 "${common[@]}" 2>&1 >/dev/null); then echo "a request beyond the context was taken" >&2; exit 1; fi
grep -q "does not fit the context" <<<"$message" || { echo "refusal: $message" >&2; exit 1; }
echo "refusal: ok"
# The register of speed: a record is written, what is as recorded passes, what lost is named with exit code 1.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
regress() { "$bench" regress --device cpu --only "dense 1x1024" --turns 6 --register "$scratch" "$@"; }
regress --runs 1 --record --build test >"$scratch/out"
file=$(echo "$scratch"/*.json)
grep -q "dense 1x1024 .* new$" "$scratch/out" && grep -q "written to $file" "$scratch/out" || { cat "$scratch/out"; exit 1; }
# scale FACTOR: the recorded ratio, so many times as high.
scale() {
  python3 -c 'import json, sys
record = json.load(open(sys.argv[1]))
case, = record["cases"]
for key in "percent", "low", "high": case[key] *= float(sys.argv[2])
json.dump(record, open(sys.argv[1], "w"))' "$file" "$1"
}
scale 10
code=0
regress --json >"$scratch/out" 2>"$scratch/err" || code=$?
[[ $code == 1 ]] && grep -q "lost speed, or gone: dense 1x1024" "$scratch/err" &&
  grep -q "looking again at dense 1x1024" "$scratch/err" &&
  python3 -c 'import json, sys
case, = json.load(sys.stdin)["cases"]
assert case["standing"] == "lost" and case["change"] < -0.5 and case["now"]["percent"] > 0, case' <"$scratch/out" ||
  { echo "regress, lost: exit code $code"; cat "$scratch/out" "$scratch/err"; exit 1; }
echo "{}" >"$file"
if message=$(regress 2>&1 >/dev/null); then echo "a record without cases was taken" >&2; exit 1; fi
grep -q "device is missing" <<<"$message" || { echo "refusal: $message" >&2; exit 1; }
if message=$(regress --only nothing 2>&1); then echo "an unknown case was taken" >&2; exit 1; fi
grep -q 'no case "nothing"' <<<"$message" || { echo "refusal: $message" >&2; exit 1; }
echo "regress: ok"
