#!/usr/bin/env bash
# A search whose two workers were started by hand and dial in has the rows of a local one, though one of them is killed
# and another comes. usage: fleet.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
started=()
stop() { for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done; wait; rm -rf "$folder"; }
trap stop EXIT
cd "$folder"
. "$source_dir/tests/faults/rows.sh"

fail() { echo "FAILED: $1" >&2; exit 1; }
search=("$vortex" search --model "$source_dir/models/chain-4m" --definitions 24 --chain 4 --problems 6 --confirm-problems 3
  --speed-seconds 0 --max-evals 6 --for 1h --seed 5 --batch 4 --rank-speed modelled --no-keeper --threads 1
  --format json)
wait_until() {  # WHAT COMMAND...: for at most two minutes
  local what=$1 i
  shift
  for i in $(seq 600); do
    if "$@" > /dev/null 2>&1; then return 0; fi
    sleep 0.2
  done
  cat remote.log >&2
  fail "$what"
}
worker() {  # NAME: starts one as the search says
  # shellcheck disable=SC2086
  $(sed -n 's/.*on their machines: //p' remote.log) --folder "$folder/node" --name "$1" > "$1.log" 2>&1 &
  started+=($!)
}
lost() { grep -q "worker one on .*: " remote.log; }

echo "a local search"
"${search[@]}" --workspace local > local.json 2> local.log || { cat local.log >&2; fail "the local search"; }
rows local > local.rows
[ "$(grep -c '^outcome' local.rows)" -gt 30 ] || fail "too few outcomes to compare"

echo "the same with workers that dial in"
"${search[@]}" --workspace remote --launcher hand --workers 2 > remote.json 2> remote.log &
search_pid=$!
started+=("$search_pid")
wait_until "the address" grep -q "on their machines: " remote.log
[ "$(stat -c %a remote/workers/token)" = 600 ] || fail "the token's mode"
worker one
one=$!
worker two
wait_until "a worker of each name" grep -q '"running"' remote/workers/roster.json
"$vortex" status --workspace remote > status.txt || fail "status"
grep -q "two" status.txt && grep -q "last fault\|faults" status.txt || { cat status.txt >&2; fail "who works is not shown"; }
kill -9 "$one"
worker three
wait_until "the loss of a worker" lost
wait "$search_pid" || { cat remote.log >&2; fail "the remote search"; }
rows remote > remote.rows
diff local.rows remote.rows > rows.diff || { head -n 40 rows.diff >&2; fail "a search elsewhere has other rows"; }
for name in two three; do
  wait_until "the end of worker $name" grep -q "no more work" "$name.log"
done
echo "$(wc -l < local.rows) rows are the same"

"$vortex" report --workspace remote > report.md || fail "report"
grep -q "Where it ran" report.md || fail "the brief does not show nodes"
named=$(sqlite3 remote/vortex.db "SELECT count(*) FROM stage WHERE json_extract(evidence, '$.node.worker') = 'two'")
[ "$named" -gt 0 ] || fail "the evidence does not name the worker"

echo "a worker that is not wanted hears why"
"$vortex" worker --connect 127.0.0.1:9 --token-file remote/workers/token --patience 1s > none.log 2>&1 && fail "no search"
grep -q "no search at 127.0.0.1:9" none.log || { cat none.log >&2; fail "what a worker without a search says"; }
chmod 644 remote/workers/token
"$vortex" worker --connect 127.0.0.1:9 --token-file remote/workers/token > open.log 2>&1 && fail "a token for all"
grep -q "others may read the token" open.log || { cat open.log >&2; fail "a token that others may read"; }

echo "a search that waits for its first worker can be stopped"
"${search[@]}" --workspace waits --launcher hand --workers 1 > waits.json 2> waits.log &
waits=$!
started+=("$waits")
wait_until "the address of the one that waits" grep -q "on their machines: " waits.log
"$vortex" stop --workspace waits > stop.txt || fail "stop"
wait "$waits" && fail "a search without a worker came to an end"
grep -q "stopped before a worker came" waits.log || { cat waits.log >&2; fail "why it ended"; }
grep -q "search --resume .* waits on" waits.log || { cat waits.log >&2; fail "how it goes on"; }
"$vortex" status --workspace waits > status.txt || fail "status of the one that waited"
grep -q interrupted status.txt || { cat status.txt >&2; fail "a search that was stopped is not shown as such"; }
