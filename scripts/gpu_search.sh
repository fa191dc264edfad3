#!/usr/bin/env bash
# Whole searches on a machine with GPUs, measured. The programs must be built: vortex, vortex-worker, vortex-keeper and
# vortex-oracle.so in BIN. CUDA_VISIBLE_DEVICES says which GPU a part may use.
#   scripts/gpu_search.sh BIN OUT PART [ARGUMENTS]
# Parts:
#   night SITTING1 SITTING2   a search on chain-16k over two sittings of so many seconds, the first of which kill -9 ends;
#                             then the front replayed token for token, the report, and a copy of the database
#   chain SECONDS [OPTIONS]   candidates an hour on chain-16k, 64 problems
#   aime SECONDS MODEL [OPTIONS]   the same on AIME24, 16 problems x 2 trials x 2,048 tokens, with a model at Qwen3-1.7B's
#                             geometry (scripts/random_checkpoint.py)
#   side CANDIDATES           so many candidates on chain-16k on the first of two visible GPUs, then on both, with
#                             $WORKERS_A_GPU workers (3) on each: seconds, and whether the decisions are the same. $SIDES
#                             ("one two") may name one of the two, where the other is run at another time
# $SEARCH_OPTIONS are further options of every search, $SANDBOX_OPTIONS those that a resumed one takes again,
# $DEFINITIONS the length of chain (3250). OUT gets a workspace and a log a part; `scripts/search_rate.py` tells what they
# cost.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$1 out=$2 part=$3
shift 3
mkdir -p "$out"
vortex=$bin/vortex
read -ra more <<<"${SEARCH_OPTIONS:-}"
read -ra jail <<<"${SANDBOX_OPTIONS:-}"
more+=("${jail[@]}")
device=${DEVICE:-cuda}
chain=(--device "$device" --model models/chain-16k --task chain --definitions "${DEFINITIONS:-3250}" --chain 16
       --problems 64)

search() {  # NAME OPTIONS...
  local name=$1
  shift
  "$vortex" search --workspace "$out/$name" "$@" "${more[@]}" >"$out/$name.txt" 2>&1
}

case "$part" in
  night)
    "$vortex" search --workspace "$out/night" "${chain[@]}" --for "$(($1 + $2))s" --seed 5 "${more[@]}" \
      >"$out/night_first_sitting.txt" 2>&1 &
    sitting=$!
    sleep "$1"
    kill -9 "$sitting"
    wait "$sitting" 2>/dev/null
    "$vortex" search --workspace "$out/night" --resume 1 "${jail[@]}" >"$out/night.txt" 2>&1
    echo "search: exit code $?"
    "$vortex" front --workspace "$out/night" | tee "$out/night_front.txt"
    "$vortex" replay front --workspace "$out/night" "${jail[@]}" >"$out/night_replay.txt" 2>&1
    echo "replay front: exit code $?"
    "$vortex" report --workspace "$out/night" --html "$out/night.html" >"$out/night_report.md"
    "$vortex" db backup "$out/night_backup" --workspace "$out/night" ;;
  chain)
    seconds=$1
    shift
    search "chain_${NAME:-now}" "${chain[@]}" --for "${seconds}s" --seed 7 --no-confirm "$@" ;;
  aime)
    seconds=$1 model=$2
    shift 2
    search "aime_${NAME:-now}" --device "$device" --model "$model" --task "${TASK:-aime24}" --problems 16 --trials 2 --max-new-tokens 2048 \
      --for "${seconds}s" --seed 7 --no-confirm "$@" ;;
  side)
    count=$1
    shift
    one=${CUDA_VISIBLE_DEVICES%%,*}
    each=${WORKERS_A_GPU:-3}
    sides=${SIDES:-one two}
    counted=("${chain[@]}" --max-evals "$count" --for 1h --seed 9 --no-confirm --rank-speed modelled --batch 16)
    [[ $sides != *one* ]] ||
      CUDA_VISIBLE_DEVICES=$one search side_one "${counted[@]}" --workers "$each" "$@"
    [[ $sides != *two* ]] || search side_two "${counted[@]}" --workers "$((2 * each))" "$@"
    [[ -f $out/side_one/vortex.db && -f $out/side_two/vortex.db ]] || exit 0
    python3 - "$out" <<'PYTHON'
import sqlite3
import sys

QUERY = "SELECT batch, slot, draw, key, origin, verdict FROM candidate ORDER BY batch, slot, draw"
one, two = (sqlite3.connect(f"{sys.argv[1]}/{name}/vortex.db").execute(QUERY).fetchall() for name in ("side_one", "side_two"))
print("decisions:", "the same" if one == two else f"{sum(a != b for a, b in zip(one, two))} of {len(one)} differ")
PYTHON
    ;;
  *) echo "unknown part $part" >&2; exit 1 ;;
esac
