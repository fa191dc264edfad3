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
  if [ "$got" -ne "$code" ] || ! grep -qi -- "$text" out.txt err.txt; then
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
expect 0 "no --model was given" "$vortex" search --workspace w --definitions 24 --chain 4 --problems 2 --no-confirm \
  --speed-seconds 0 --max-evals 1 --accept-baseline
expect 1 "no-such-folder" "$vortex" search --model no-such-folder --workspace w
mkdir truncated; cp "$model"/*.json truncated/; head -c 100000 "$model/model.safetensors" > truncated/model.safetensors
expect 1 "safetensors" "$vortex" search --model truncated --workspace w2 --definitions 24 --chain 4 --problems 2
expect 1 "no-such-folder" "$vortex" search --model no-such-folder --workspace fresh
[ ! -e fresh ] || { echo "FAILED: a search that did not begin leaves its workspace" >&2; failures=$((failures + 1)); }
expect 1 "for is given twice: 5m and 1h" "$vortex" search --model "$model" --for 5m --for=1h --workspace w
printf 'for = "5m"\n' > once.toml
expect 0 "for .*1h .*command line" "$vortex" config show search --model "$model" --config once.toml --for 1h --workspace w
touch file
expect 3 "file" "$vortex" search --model "$model" --workspace file/w
sed 's/Sum(dim=2)/Sum(dim=1)/' quest.py > shapes.py; cp quest.json shapes.json
expect 1 "shapes.py:" "$vortex" check shapes.py --model "$model"
sed 's/(1, head_dim), "key_min"/(4000000, head_dim), "key_min"/' quest.py > huge.py; cp quest.json huge.json
expect 1 "huge.py:" "$vortex" check huge.py --model "$model"
cp quest.py small.py; sed 's/"vortex_block_size": *[0-9]*/"vortex_block_size": 8/' quest.json > small.json
expect 0 "ok" "$vortex" check small.py --model "$model" --device cpu
expect 1 "backend-block-size" "$vortex" check small.py --model "$model" --device cuda
printf '[search\nfor = ' > broken.toml
expect 1 "broken.toml" "$vortex" search --model "$model" --config broken.toml --workspace w3
printf 'problemz = 3\n' > misspelled.toml
expect 1 "problemz" "$vortex" search --model "$model" --config misspelled.toml --workspace w3
expect 1 "no workspace" "$vortex" front --workspace nothing-here
expect 1 "no workspace" "$vortex" search --resume no-such-run --workspace w4

# A disk that is full: the search says so, keeps what it has, and goes on when there is room again.
short=(--definitions 24 --chain 4 --problems 2 --speed-seconds 0 --confirm-problems 1 --max-evals 1 --for 10m --seed 2)
on_full_disk() {
  expect 3 "space\|full" "$vortex" search --model "$model" --workspace full "${short[@]}"
  mount -o remount,size=400m full
  run=$("$vortex" status --workspace full --format json 2>/dev/null | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' | head -n 1)
  if [ -n "$run" ]; then
    expect 0 "front" "$vortex" search --resume "$run" --workspace full
  else
    expect 0 "front" "$vortex" search --model "$model" --workspace full "${short[@]}"
  fi
}
mkdir full
for size in 40k 600k 1m; do
  if ! mount -t tmpfs -o size=$size tmpfs full 2>/dev/null; then
    echo "skipped: a full disk (mounting a small one needs root and CAP_SYS_ADMIN)"
    break
  fi
  trap 'umount "$folder/full" 2>/dev/null; rm -rf "$folder"' EXIT
  echo "a disk of $size"
  on_full_disk
  umount full
done
[ "$failures" -eq 0 ] || exit 1
echo "bad input is refused clearly"
