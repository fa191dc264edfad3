#!/usr/bin/env bash
# A baseline that tells nothing ends the search before anything is compared with it: weights of zero, weights that are
# no numbers, answers that are cut. usage: baseline.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "FAILED: $1" >&2; exit 1; }
task=(--definitions 96 --chain 10 --problems 8 --speed-seconds 0 --max-evals 1 --for 5m --rank-speed modelled --no-confirm)

# A copy of the model whose weights are all the bfloat16 number with these bits.
with_weights() {
  cp -r "$source_dir/models/chain-4m" "$1"
  python3 - "$1/model.safetensors" "$2" <<'PY'
import struct, sys
path, bits = sys.argv[1], int(sys.argv[2], 16)
with open(path, "rb") as file:
    data = bytearray(file.read())
begin = 8 + struct.unpack("<Q", data[:8])[0]
data[begin:] = struct.pack("<H", bits) * ((len(data) - begin) // 2)
with open(path, "wb") as file:
    file.write(data)
PY
}

# Ends with exit code 1, says what is wrong, and shows answers.
expect_refused() {
  local name=$1; shift
  local code=0
  "$vortex" search "$@" "${task[@]}" --workspace "$name" > out.txt 2> log.txt || code=$?
  [ "$code" = 1 ] || { cat log.txt >&2; fail "$name: exit code $code"; }
  grep -q "the baseline" log.txt || { cat log.txt >&2; fail "$name: nothing about the baseline"; }
  [ "$("$vortex" front --workspace "$name" --format json | grep -c '"origin": *"\(seed\|mutate\|random\)"')" = 0 ] ||
    fail "$name: something was compared with it"
}

echo "weights of zero"
with_weights zero 0000
expect_refused zeros --model zero
grep -q "never right" log.txt || { cat log.txt >&2; fail "zeros: not said what is wrong"; }
grep -q "some of its answers" log.txt || fail "zeros: no answers shown"

echo "weights that are no numbers"
with_weights nan 7fc0
expect_refused nans --model nan
"$vortex" generate "? v5 ?" --model nan --max-tokens 4 > out.txt 2> log.txt && fail "tokens out of weights that are no numbers"
grep -q "not finite" log.txt && grep -q "weights in .*nan" log.txt || { cat log.txt >&2; fail "the model is not named"; }

echo "answers that are cut"
expect_refused cut --model "$source_dir/models/chain-4m" --max-new-tokens 4
grep -q "cut at the limit of 4 tokens" log.txt || { cat log.txt >&2; fail "cut: not said"; }

echo "accepted, it goes on, and every page says so"
"$vortex" search --model "$source_dir/models/chain-4m" --max-new-tokens 4 "${task[@]}" --accept-baseline \
  --workspace accepted > out.txt 2> log.txt || { cat log.txt >&2; fail "accepted"; }
for view in report front status; do
  "$vortex" $view --workspace accepted > view.txt 2>&1 || fail "$view"
  grep -q "was accepted all the same" view.txt || { cat view.txt >&2; fail "$view does not say that it was accepted"; }
done
