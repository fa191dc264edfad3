#!/usr/bin/env bash
# A search whose workers sit in network namespaces, one of which is cut off for 30 s, one loses every twentieth packet,
# and one answers ten times slower: it must end with the rows of a local search, every stage counted once. Takes some
# minutes. usage: network.sh VORTEX SOURCE_DIR [CUT_SECONDS (30)]   Needs root, ip and nft; else exit 77.
set -euo pipefail
vortex=$1
source_dir=$2
cut_seconds=${3:-30}
skip() { echo "SKIPPED: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
for program in ip nft; do [ -n "$(command -v "$program")" ] || skip "$program is missing"; done

folder=$(mktemp -d)
chmod 755 "$folder"
cd "$folder"
. "$source_dir/tests/faults/rows.sh"
base=vx$((RANDOM % 900 + 100))
started=()
finish() {
  for pid in "${started[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill "$pid" 2>/dev/null || true; done
  sleep 1
  for i in 1 2 3; do ip netns del "$base-$i" 2>/dev/null || true; done
  nft delete table inet "$base" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT
fail() { echo "FAILED: $1" >&2; tail -n 20 remote.log >&2; exit 1; }
wait_until() {  # WHAT COMMAND...
  local what=$1 i
  shift
  for i in $(seq 1200); do
    if "$@" > /dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  fail "$what"
}

# Node i is a namespace with a wire to us; the search listens at every end of the wires.
for i in 1 2 3; do
  ip netns add "$base-$i"
  ip link add "$base$i" type veth peer name eth0 netns "$base-$i"
  ip addr add "10.77.$i.1/24" dev "$base$i"
  ip link set "$base$i" up
  ip -n "$base-$i" addr add "10.77.$i.2/24" dev eth0
  ip -n "$base-$i" link set eth0 up
  ip -n "$base-$i" link set lo up
done
nft add table inet "$base"
nft add chain inet "$base" in '{ type filter hook input priority 0; }'
nft add rule inet "$base" in iifname "${base}2" numgen random mod 100 '<' 5 drop

search=("$vortex" search --model "$source_dir/models/chain-4m" --definitions 24 --chain 4 --problems 6 --confirm-problems 3
  --speed-seconds 0 --max-evals 16 --for 1h --seed 5 --batch 4 --rank-speed modelled --no-keeper --threads 1
  --format json)
echo "a local search"
"${search[@]}" --workspace local > local.json 2> local.log || { cat local.log >&2; fail "the local search"; }
rows local > local.rows

echo "the same over bad wires"
"${search[@]}" --workspace remote --launcher hand --workers 3 --listen 0.0.0.0:0 > remote.json 2> remote.log &
search_pid=$!
started+=("$search_pid")
wait_until "the address" grep -q "on their machines: " remote.log
port=$(cat remote/workers/port-*)
for i in 1 2 3; do
  VORTEX_NODE="wire$i" ip netns exec "$base-$i" "$vortex" worker --connect "10.77.$i.1:$port" \
    --token-file remote/workers/token --folder "$folder/node" --name "w$i" > "w$i.log" 2>&1 &
  started+=($!)
done
slow=${started[3]}
wait_until "three workers" sh -c '[ "$(grep -c "worker w[123] on wire[123]: with" remote.log)" -ge 3 ]'
wait_until "a task" grep -q '"running"' remote/workers/roster.json
nft add rule inet "$base" in iifname "${base}1" drop
cut_from=$SECONDS
while kill -0 "$search_pid" 2>/dev/null; do
  kill -STOP "$slow" 2>/dev/null || true
  sleep 0.9
  kill -CONT "$slow" 2>/dev/null || true
  sleep 0.1
  if [ "$cut_from" -ge 0 ] && [ $((SECONDS - cut_from)) -ge "$cut_seconds" ]; then
    echo "the wire is back after $((SECONDS - cut_from)) s"
    cut_from=-1
    nft flush chain inet "$base" in
    nft add rule inet "$base" in iifname "${base}2" numgen random mod 100 '<' 5 drop
  fi
done
wait "$search_pid" || fail "the search"
rows remote > remote.rows
diff local.rows remote.rows > rows.diff || { head -n 40 rows.diff >&2; fail "other rows"; }
for i in 1 2 3; do
  count=$(sqlite3 remote/vortex.db "SELECT count(*) FROM stage WHERE evidence LIKE '%\"worker\":\"w$i\"%'")
  echo "w$i: $count stages"
done
lost=$(sqlite3 remote/vortex.db "SELECT count(*) FROM event WHERE kind = 'worker-lost'")
echo "$(wc -l < local.rows) rows are the same; $lost workers were given up meanwhile"
