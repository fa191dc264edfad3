#!/usr/bin/env bash
# Bad input ends in one clear error and the right exit code. usage: bad_input.sh VORTEX SOURCE_DIR
set -uo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
model=$source_dir/models/chain-4m
failures=0

expect() {  # EXIT_CODE TEXT COMMAND...
  local code=$1 text=$2 got
  shift 2
  "$@" > out.txt 2> err.txt
  got=$?
  if [ "$got" -ne "$code" ] || ! cat out.txt err.txt | grep -qi -- "$text"; then
    echo "FAILED: $* gave $got (want $code, with \"$text\"):" >&2
    cat out.txt err.txt >&2
    failures=$((failures + 1))
  fi
}

cp "$source_dir/examples/policies/quest.py" "$source_dir/examples/policies/quest.json" .
expect 0 "ok" "$vortex" check quest.py --model "$model"
expect 1 "missing.py" "$vortex" check missing.py --model "$model"
sed 's/def __init__/def __init__(/' quest.py > broken.py; cp quest.json broken.json
expect 1 "broken.py:" "$vortex" check broken.py --model "$model"
sed 's/Maximum/Maximun/' quest.py > misspelled.py; cp quest.json misspelled.json
expect 1 "Maximum" "$vortex" check misspelled.py --model "$model"
cp quest.py key.py; sed 's/vortex_topk_val/vortex_topk_vall/' quest.json > key.json
expect 1 "vortex_topk_val" "$vortex" check key.py --model "$model"
expect 1 "search" "$vortex" serach
expect 1 "model" "$vortex" search --workspace w
expect 1 "no-such-folder" "$vortex" search --model no-such-folder --workspace w
mkdir truncated; cp "$model"/*.json truncated/; head -c 100000 "$model/model.safetensors" > truncated/model.safetensors
expect 1 "safetensors" "$vortex" search --model truncated --workspace w2 --definitions 24 --chain 4 --problems 2
touch file
expect 3 "file" "$vortex" search --model "$model" --workspace file/w
[ "$failures" -eq 0 ] || exit 1
echo "bad input is refused clearly"
