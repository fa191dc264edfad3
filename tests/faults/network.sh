#!/usr/bin/env bash
# A search whose workers sit in network namespaces: one is cut off for 30 s in the middle of a task, one loses every
# twentieth packet either way, one answers ten times slower. Once with the silence that is usual, where nobody is to be
# given up, and once with less than the cut, where the one that is cut off must be: its task is done by others, and what
# it still says of it does not count. Both must have the rows of a local search, each stage and answer once.
# Takes five minutes or more. usage: network.sh VORTEX SOURCE_DIR [CUT_SECONDS (30)]. Needs root, ip and nft; else 77.
set -euo pipefail
vortex=$1
source_dir=$2
cut_seconds=${3:-30}
skip() { echo "SKIPPED: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
for program in ip nft jq sqlite3; do [ -n "$(command -v "$program")" ] || skip "$program is missing"; done

folder=$(mktemp -d)
chmod 755 "$folder"
cd "$folder"
. "$source_dir/tests/faults/rows.sh"
name=vx$((RANDOM % 9000 + 1000))  # of namespaces, wires and table
net=10.$((RANDOM % 100 + 100))
started=()
stop_started() {
  local pid
  for pid in "${started[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  started=()
}
finish() {
  stop_started
  local i
  for i in 1 2 3; do ip netns del "$name-$i" 2>/dev/null || true; done
  nft delete table inet "$name" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT
workspace=
fail() {
  echo "FAILED: $1" >&2
  [ -z "$workspace" ] || tail -n 20 "$workspace.log" >&2
  exit 1
}
wait_until() {  # WHAT COMMAND...: for at most five minutes
  local what=$1 i
  shift
  for i in $(seq 3000); do
    if "$@" > /dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "$what"
}

# Node i is a namespace with a wire to us; the search listens at every end of the wires.
for i in 1 2 3; do
  ip netns add "$name-$i"
  ip link add "$name$i" type veth peer name eth0 netns "$name-$i"
  ip addr add "$net.$i.1/24" dev "$name$i"
  ip link set "$name$i" up
  ip -n "$name-$i" addr add "$net.$i.2/24" dev eth0
  ip -n "$name-$i" link set eth0 up
  ip -n "$name-$i" link set lo up
done
nft add table inet "$name"
nft add chain inet "$name" in '{ type filter hook input priority 0; }'
nft add chain inet "$name" out '{ type filter hook output priority 0; }'
mend_wires() {  # all but the one that loses packets
  nft flush chain inet "$name" in
  nft flush chain inet "$name" out
  nft add rule inet "$name" in iifname "${name}2" numgen random mod 100 '<' 5 drop
  nft add rule inet "$name" out oifname "${name}2" numgen random mod 100 '<' 5 drop
}
cut_wire() {  # NODE
  nft add rule inet "$name" in iifname "$name$1" drop
  nft add rule inet "$name" out oifname "$name$1" drop
}
losses() {  # SQL that narrows them
  sqlite3 "$workspace/vortex.db" "SELECT count(*) FROM event WHERE kind = 'worker-lost' $1"
}
works() { jq -e --arg name "$1" '.workers[] | select(.name == $name and .state == "running")' "$workspace/workers/roster.json"; }

search=("$vortex" search --model "$source_dir/models/chain-4m" --definitions 24 --chain 4 --problems 6 --confirm-problems 3
  --speed-seconds 0 --max-evals 10 --for 2h --seed 5 --batch 4 --rank-speed modelled --no-keeper --threads 1
  --format json)

search_over_wires() {  # WORKSPACE SILENCE
  workspace=$1
  local search_pid slow cut_from=-1 was_cut=no
  mend_wires
  "${search[@]}" --workspace "$workspace" --launcher hand --workers 3 --listen 0.0.0.0:0 --silence "$2" \
    > "$workspace.json" 2> "$workspace.log" &
  search_pid=$!
  started+=("$search_pid")
  wait_until "the address" grep -q "on their machines: " "$workspace.log"
  for i in 1 2 3; do
    VORTEX_NODE="wire$i" ip netns exec "$name-$i" "$vortex" worker --connect "$net.$i.1:$(cat "$workspace"/workers/port-*)" \
      --token-file "$workspace/workers/token" --folder "$folder/node" --name "w$i" > "$workspace-w$i.log" 2>&1 &
    started+=($!)
  done
  slow=${started[3]}
  # The slow one answers in one tenth of each second; the first is cut off in the middle of its second task or later.
  while kill -0 "$search_pid" 2>/dev/null; do
    kill -STOP "$slow" 2>/dev/null || true
    sleep 0.9
    kill -CONT "$slow" 2>/dev/null || true
    sleep 0.1
    if [ "$was_cut" = no ] && [ "$(stages_of w1)" -ge 2 ] && works w1 > /dev/null 2>&1; then
      cut_wire 1
      was_cut=yes
      cut_from=$SECONDS
    fi
    if [ "$cut_from" -ge 0 ] && [ $((SECONDS - cut_from)) -ge "$cut_seconds" ]; then
      echo "  the wire is back after $((SECONDS - cut_from)) s"
      cut_from=-1
      mend_wires
    fi
  done
  wait "$search_pid" || fail "the search"
  [ "$was_cut" = yes ] && [ "$cut_from" -lt 0 ] || fail "the search ended before the wire was cut and mended"
  stop_started
}
stages_of() {  # WORKER
  sqlite3 "$workspace/vortex.db" "SELECT count(*) FROM stage WHERE json_extract(evidence, '$.node.worker') = '$1'" \
    2>/dev/null || echo 0
}

# Decisions are rows: what was proposed of which parents, asked of whom, believed. Whatever was counted twice is a second
# row, which `rows` does not show.
check_rows() {
  local double
  rows "$workspace" > "$workspace.rows"
  diff local.rows "$workspace.rows" > rows.diff || { head -n 40 rows.diff >&2; fail "other rows than a local search"; }
  double=$(sqlite3 "$workspace/vortex.db" "SELECT count(*) FROM (SELECT 1 FROM stage WHERE blame <> 'environment'
    GROUP BY candidate, stage HAVING count(*) > 1)")
  [ "$double" -eq 0 ] || fail "$double stages were counted more than once"
  [ "$(answers "$workspace")" -eq "$(answers local)" ] || fail "$(answers "$workspace") answers, not $(answers local)"
  [ "$(evaluations "$workspace")" = "$(evaluations local)" ] || fail "another number of evaluations in its summary"
  for i in 1 2 3; do
    [ "$(stages_of "w$i")" -gt 0 ] || fail "w$i did nothing"
    echo "  w$i: $(stages_of "w$i") stages"
  done
}
answers() { sqlite3 "$1/vortex.db" "SELECT count(*) FROM outcome"; }
evaluations() { jq -c '[.evaluated, .refused, .verdicts]' "$1.json"; }

echo "a local search"
"${search[@]}" --workspace local > local.json 2> local.log || { cat local.log >&2; fail "the local search"; }
rows local > local.rows
[ "$(answers local)" -gt 50 ] || fail "too few answers to compare"

echo "the same over bad wires"
search_over_wires patient 75
check_rows
[ "$(losses "")" -eq 0 ] || fail "a worker was given up, though the wire was back in time"

echo "the same, where less silence is allowed than the cut takes"
search_over_wires strict 8
check_rows
[ "$(losses "AND json_extract(detail, '$.worker') = 'w1'")" -gt 0 ] || fail "the worker behind the cut was not given up"
grep -q "dialling again" strict-w1.log || fail "the worker that was given up did not come back"
echo "$(wc -l < local.rows) rows are the same"
