#!/usr/bin/env bash
# A short search on the shipped model, killed with kill -9 half-way and resumed; then its front is replayed, exported
# and checked. usage: search.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "FAILED: $1" >&2; exit 1; }
search=("$vortex" search --model "$source_dir/models/chain-4m" --definitions 96 --chain 10 --problems 8 --speed-seconds 1
  --confirm-problems 4 --max-evals 4 --for 10m --seed 3 --rank-speed modelled --format json)

echo "an interrupted search, resumed, makes the decisions of an uninterrupted one"
"${search[@]}" --workspace clean > clean.json 2> clean.log || { cat clean.log >&2; fail "the search"; }
"${search[@]}" --workspace killed > killed.json 2> killed.log &
pid=$!
sleep 6
kill -9 "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true
run=$("$vortex" status --workspace killed --format json | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' | head -n 1)
"$vortex" search --resume "$run" --workspace killed --format json > killed.json 2>> killed.log ||
  { cat killed.log >&2; fail "resuming"; }
# What was decided and what it scored; measured speeds differ between any two searches.
decided() { grep -oE '"(candidate|origin|rationale)": *("[^"]*"|[0-9]+)' "$1"; }
diff <(decided clean.json) <(decided killed.json) || fail "the resumed search decided otherwise"
grep -q '"origin"' clean.json || fail "the front is empty"

echo "every member of the front reproduces its tokens"
"$vortex" replay front --workspace clean >&2 || fail "replay"

echo "a stored candidate exports to a pair that checks"
member=$(grep -oE '"candidate": *[0-9]+' clean.json | grep -oE '[0-9]+' | tail -n 1)
[ "$member" -gt 1 ] || member=2
"$vortex" export "$member" --to vortex-torch --out exported --unconfirmed --workspace clean >&2 || fail "export"
module=$(ls exported/*.py)
"$vortex" check "$module" "${module%.py}.json" --model "$source_dir/models/chain-4m" >&2 || fail "check of the export"

echo "its kernels compile by the command of their README"
if "$vortex" export "$member" --to cuda --out kernels --workspace clean >&2; then
  ! grep -q "NOT CONFIRMED" kernels/policy.cu || fail "a confirmed candidate that says it was not"
else
  "$vortex" export "$member" --to cuda --out kernels --unconfirmed --workspace clean >&2 || fail "export of kernels"
  grep -q "NOT CONFIRMED" kernels/policy.cu || fail "an unconfirmed candidate that does not say so"
fi
PATH=$PATH:/usr/local/cuda/bin
if command -v nvcc > /dev/null; then
  (cd kernels && bash -c "$(sed -n 's/^    \(nvcc .*\)/\1/p' README.md)") >&2 || fail "nvcc"
  [ -x kernels/run ] || fail "no program"
else
  echo "SKIPPED: compiling exported kernels needs nvcc"
fi

echo "the other views print"
for view in "show $member" report status "lineage $member"; do
  # shellcheck disable=SC2086
  "$vortex" $view --workspace clean > view.txt || fail "$view"
  [ -s view.txt ] || fail "$view printed nothing"
done
