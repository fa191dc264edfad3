#!/usr/bin/env bash
# Kills a search with SIGKILL at random moments, the orchestrator and a worker in turns, and resumes it: it must end
# with the rows of a search that nobody killed. usage: kills.sh VORTEX SOURCE_DIR [KILLS (10)] [SEED]
set -euo pipefail
vortex=$1
source_dir=$2
kills=${3:-10}
seed=${4:-$RANDOM}
RANDOM=$seed
echo "kill moments drawn with seed $seed"
folder=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"

fail() { echo "FAILED: $1" >&2; exit 1; }
new_search=(search --model "$source_dir/models/chain-4m" --definitions 24 --chain 4 --problems 6 --confirm-problems 3 --speed-seconds 0
  --max-evals 8 --for 1h --seed 5 --rank-speed modelled --format json)

run_name() { "$vortex" status --workspace killed --format json 2>/dev/null | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' | head -n 1; }
start() {  # in the background: a new search, or the one that a kill left
  local run
  run=$(run_name || true)
  if [ -z "$run" ]; then
    "$vortex" "${new_search[@]}" --workspace killed >> killed.json 2>> killed.log &
  else
    "$vortex" search --resume "$run" --workspace killed --format json >> killed.json 2>> killed.log &
  fi
  pid=$!
}
workers_below() {  # PID: worker processes of its tree
  local child
  for child in $(pgrep -P "$1" || true); do
    [ "$(cat "/proc/$child/comm" 2>/dev/null)" != vortex-worker ] || echo "$child"
    workers_below "$child"
  done
}
alive() { kill -0 "$pid" 2>/dev/null && [ "$(ps -o stat= -p "$pid" | cut -c1)" != Z ]; }

. "$source_dir/tests/faults/rows.sh"

echo "a search that nobody kills"
begin=$SECONDS
"$vortex" "${new_search[@]}" --workspace clean > clean.json 2> clean.log || { cat clean.log >&2; fail "the clean search"; }
took=$((SECONDS - begin))
rows clean > clean.rows
[ "$(grep -c '^outcome' clean.rows)" -gt 40 ] || fail "too few outcomes to compare"

echo "the same search, killed $kills times"
done_kills=0
start
while [ "$done_kills" -lt "$kills" ]; do
  # Moments spread over the length of the search; what dies early starts again.
  milliseconds=$((RANDOM % (1 + 1000 * took / kills) + 50))
  sleep "$(printf '%d.%03d' $((milliseconds / 1000)) $((milliseconds % 1000)))"
  alive || break  # it came to its end before all kills were spent
  if [ $((done_kills % 2)) -eq 0 ]; then
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    start
  else
    victim=$(workers_below "$pid" | head -n 1)
    [ -n "$victim" ] || continue
    kill -9 "$victim" 2>/dev/null || continue
  fi
  done_kills=$((done_kills + 1))
done
wait "$pid" || { tail -n 20 killed.log >&2; fail "the resumed search"; }
pid=
[ "$done_kills" -ge $((kills / 2)) ] || fail "only $done_kills of $kills kills found the search alive"
rows killed > killed.rows
diff clean.rows killed.rows > rows.diff || { head -n 40 rows.diff >&2; fail "the killed search has other rows"; }
echo "$done_kills kills; $(wc -l < clean.rows) rows are the same"
