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
#   latent MODEL [OPTIONS]    a short search with policies on latents, with a model at GLM-4.7-Flash's geometry
#                             (scripts/random_checkpoint.py OUT glm-4.7-flash --layers 4): every stage runs; what its random
#                             weights answer says nothing
#   side CANDIDATES           so many candidates on chain-16k on the first of the visible GPUs, then on more of them side by
#                             side, with $WORKERS_A_GPU workers (3) on each: seconds, and whether the decisions are the
#                             same. $SIDES ("1 2") says how many GPUs; sides of an earlier call in OUT are compared, too.
#                             With $RANKS (1) a worker has so many GPUs to itself, over which the model is spread
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
  latent)
    model=$1
    shift
    search latent --device "$device" --model "$model" --task chain --definitions "${DEFINITIONS:-800}" --chain 16 --problems 8 \
      --max-new-tokens 16 --seeds examples/policies/mla --accept-baseline --speed-seconds 3 --max-evals 6 --for 4m --seed 5 \
      --no-confirm "$@"
    tail -n 12 "$out/latent.txt" ;;
  side)
    count=$1
    shift
    IFS=, read -ra cards <<<"$CUDA_VISIBLE_DEVICES"
    ranks=${RANKS:-1}
    each=${WORKERS_A_GPU:-3}
    ((ranks == 1)) || each=1
    for gpus in ${SIDES:-1 2}; do
      CUDA_VISIBLE_DEVICES=$(IFS=,; echo "${cards[*]:0:gpus}") search "side_$((gpus / ranks))x$ranks" "${chain[@]}" \
        --max-evals "$count" --for 1h --seed 9 --no-confirm --rank-speed modelled --batch 16 \
        --workers "$((gpus * each / ranks))" --tensor-parallel "$ranks" "$@"
    done
    python3 - "$out" <<'PYTHON'
import glob
import sqlite3
import sys

QUERY = "SELECT batch, slot, draw, key, origin, verdict FROM candidate ORDER BY batch, slot, draw"
sides = {path.split("/")[-2]: sqlite3.connect(path).execute(QUERY).fetchall()
         for path in sorted(glob.glob(f"{sys.argv[1]}/side_*/vortex.db"))}
first = next(iter(sides), None)
for name, rows in sides.items():
    if name != first:
        differ = sum(a != b for a, b in zip(rows, sides[first])) + abs(len(rows) - len(sides[first]))
        print(f"decisions of {name} and {first}:", f"{differ} of {len(rows)} differ" if differ else "the same")
PYTHON
    ;;
  *) echo "unknown part $part" >&2; exit 1 ;;
esac
