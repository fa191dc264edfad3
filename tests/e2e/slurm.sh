#!/usr/bin/env bash
# A search over Slurm, with a controller and four nodes of one core on this machine: has the rows of a local search,
# though a worker is cancelled, one is requeued, a slurmd is killed, and so is the search itself.
# usage: slurm.sh VORTEX SOURCE_DIR [EVALUATIONS (8)]. Needs root and Debian's Slurm (scripts/setup.sh); else exit 77.
set -euo pipefail
vortex=$1
source_dir=$2
evaluations=${3:-8}
skip() { echo "SKIPPED: $1"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "no Slurm: starting one needs root"
for program in slurmctld slurmd sbatch munged; do
  [ -n "$(command -v "$program")" ] || skip "no Slurm: $program is missing; scripts/setup.sh installs it"
done

folder=$(mktemp -d)
chmod 755 "$folder"
cd "$folder"
. "$source_dir/tests/faults/rows.sh"
daemons=()
search_pid=
fail() {
  echo "FAILED: $1" >&2
  for log in remote.log slurm/*.log remote/workers/slurm-*.log; do
    [ ! -s "$log" ] || { echo "--- $log" >&2; tail -n 15 "$log" >&2; }
  done
  exit 1
}
finish() {
  scancel --quiet --user=root > /dev/null 2>&1 || true
  [ -z "$search_pid" ] || kill "$search_pid" 2>/dev/null || true
  local pid
  for pid in "${daemons[@]}" $(cat slurm/*.pid 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
  sleep 0.5
  for pid in "${daemons[@]}" $(cat slurm/*.pid 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap finish EXIT
waited() {  # COMMAND...: for at most two minutes
  local i
  for i in $(seq 1200); do
    if "$@" > /dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  return 1
}
wait_until() {  # WHAT COMMAND...
  local what=$1
  shift
  waited "$@" || fail "$what"
}

# --- a Slurm of our own: nothing in /etc, no port of another
start_slurm() {
  local port=$((20000 + RANDOM % 20000)) host
  host=$(hostname -s)
  mkdir -p slurm/state
  dd if=/dev/urandom of=slurm/munge.key bs=1 count=128 status=none
  chmod 400 slurm/munge.key
  munged --foreground --force --key-file="$folder/slurm/munge.key" --socket="$folder/slurm/munge.socket" \
    --pid-file="$folder/slurm/munged.pid" --log-file="$folder/slurm/munged.log" --seed-file="$folder/slurm/munged.seed" \
    > slurm/munged.log 2>&1 &
  daemons+=($!)
  cat > slurm/slurm.conf <<CONF
ClusterName=vortex
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/slurm/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SwitchType=switch/none
KillWait=5
StateSaveLocation=$folder/slurm/state
SlurmdSpoolDir=$folder/slurm/spool-%n
SlurmctldPidFile=$folder/slurm/slurmctld.pid
SlurmdPidFile=$folder/slurm/slurmd-%n.pid
SlurmctldLogFile=$folder/slurm/slurmctld.log
SlurmdLogFile=$folder/slurm/slurmd-%n.log
SlurmctldPort=$port
$(for i in 1 2 3 4; do
    echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=1 RealMemory=1000 State=UNKNOWN"
  done)
PartitionName=test Nodes=n[1-4] Default=YES MaxTime=00:30:00 State=UP
CONF
  export SLURM_CONF=$folder/slurm/slurm.conf
  waited [ -S slurm/munge.socket ] || skip "no Slurm: munged does not start here"
  slurmctld -D > slurm/slurmctld.out 2>&1 &
  daemons+=($!)
  for i in 1 2 3 4; do
    mkdir -p "slurm/spool-n$i"
    slurmd -D -N "n$i" > "slurm/slurmd-n$i.out" 2>&1 &
    daemons+=($!)
    eval "slurmd_$i=$!"
  done
  waited sh -c '[ "$(sinfo --noheader --format="%D %t" | grep -c "^4 idle")" = 1 ]' || skip "no Slurm: its nodes do not come up here"
}

search=("$vortex" search --model "$source_dir/models/chain-4m" --definitions 24 --chain 4 --problems 6 --confirm-problems 3
  --speed-seconds 0 --max-evals "$evaluations" --for 1h --seed 5 --batch 4 --rank-speed modelled --no-keeper
  --threads 1 --format json)
slurm=(--launcher slurm --nodes 4 --listen 127.0.0.1:0 --worker-folder "$folder/node")
job() { cat remote/workers/slurm-*.job; }
runs() { grep -q '"running"' remote/workers/roster.json; }
joined_nodes() { sed -n 's/.*worker n[1-4]-[0-9]* on \(n[1-4]\): with.*/\1/p' remote.log | awk '!known[$1]++'; }
element_of() { squeue --noheader --format="%K %N" | awk -v node="$1" '$2 == node { print $1 }'; }

echo "a local search"
"${search[@]}" --workspace local > local.json 2> local.log || { cat local.log >&2; fail "the local search"; }
rows local > local.rows
[ "$(grep -c '^outcome' local.rows)" -gt 30 ] || fail "too few outcomes to compare"

start_slurm
echo "what would be submitted"
"${search[@]}" "${slurm[@]}" --workspace local --format text --dry-run > dry.txt 2> dry.log || fail "--dry-run"
grep -q '^#SBATCH --array=0-3' dry.txt || fail "--dry-run does not show the script"

echo "the same search on four nodes"
"${search[@]}" "${slurm[@]}" --workspace remote > remote.json 2> remote.log &
search_pid=$!
two_joined() { [ "$(joined_nodes | wc -l)" -ge 2 ]; }
wait_until "workers on two nodes" two_joined
wait_until "a task" runs
first=$(job)

# Slurm starts them in any order: the first two that came are taken away, another node dies, and one is left alone.
read -r cancelled requeued < <(joined_nodes | head -n 2 | xargs)
read -r killed alone < <(for node in n1 n2 n3 n4; do echo "$node"; done | grep -vxe "$cancelled" -e "$requeued" | xargs)
echo "one worker is cancelled ($cancelled), one requeued ($requeued), one slurmd killed ($killed)"
scancel "${first}_$(element_of "$cancelled")" || fail "scancel"
scontrol requeue "${first}_$(element_of "$requeued")" || fail "requeue"
slurmd=slurmd_${killed#n}
kill -9 "${!slurmd}"
wait_until "the loss of the cancelled worker" \
  grep -q "on $cancelled: \(it left\|the other end\|its machine\)" remote.log
wait_until "a worker on the node that was left alone" grep -q "worker $alone-[0-9]* on $alone: with" remote.log

echo "the search is killed and resumed: the job of before still brings workers"
kill -9 "$search_pid" || fail "the search ended before it could be killed"
wait "$search_pid" 2>/dev/null || true
run=$("$vortex" status --workspace remote --format json | sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' | head -n 1)
"$vortex" search --resume "$run" "${slurm[@]}" --no-keeper --workspace remote --format json > remote.json 2>> remote.log &
search_pid=$!
wait "$search_pid" || fail "the resumed search"
search_pid=
grep -q "Slurm job $first of the earlier sitting still brings workers" remote.log || fail "the job was not taken over"
rows remote > remote.rows
diff local.rows remote.rows > rows.diff || { head -n 40 rows.diff >&2; fail "a search over Slurm has other rows"; }
twice=$(sqlite3 remote/vortex.db "SELECT count(*) FROM (SELECT 1 FROM stage WHERE blame <> 'environment'
  GROUP BY candidate, stage HAVING count(*) > 1 AND stage NOT IN ('compile', 'validate', 'recall', 'race', 'speed'))")
[ "$twice" -eq 0 ] || fail "$twice stages were counted twice"
named=$(sqlite3 remote/vortex.db "SELECT count(*) FROM stage WHERE json_extract(evidence, '$.node.name') IN ('n1', 'n2', 'n3', 'n4')")
[ "$named" -gt 0 ] || fail "the evidence does not name the node"
ended() { [ -z "$(squeue --noheader --states=RUNNING,PENDING)" ]; }
wait_until "the end of its jobs" ended
"$vortex" status --workspace remote --format json > status.json || fail "status"
grep -q '"faults"' status.json || fail "status does not show the nodes"
echo "$(wc -l < local.rows) rows are the same"
