#!/usr/bin/env bash
# A small random model with latent attention and experts: checks, text, and a short search whose answers are noise.
# usage: latent.sh VORTEX SOURCE_DIR
set -euo pipefail
vortex=$1
source_dir=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "FAILED: $1" >&2
  tail -n 20 err.txt >&2 || true
  exit 1
}
python3 "$source_dir/tests/core/engine/decoder_reference.py" "$source_dir/tests/cases/model/decoder_models.json" \
  chain_words model
cp "$source_dir/models/chain-4m/tokenizer.json" model
mkdir seeds
for name in rope_aware lserve_centroid; do
  cp "$source_dir/examples/policies/mla/$name.py" seeds
  sed -e 's/"vortex_block_size": 32/"vortex_block_size": 16/' -e 's/"vortex_topk_val": 29/"vortex_topk_val": 3/' \
    "$source_dir/examples/policies/mla/$name.json" > "seeds/$name.json"
done

echo "policies of either kind are checked against the model, by folder, by config.json and by name"
"$vortex" check seeds/rope_aware.py seeds/rope_aware.json --model model > out.txt 2> err.txt || fail "check"
"$vortex" check seeds/rope_aware.py seeds/rope_aware.json --shape model/config.json > out.txt 2> err.txt || fail "shape"
"$vortex" check "$source_dir/examples/policies/mla/quest_mla.py" > out.txt 2> err.txt || fail "GLM-4.7-Flash by name"
! "$vortex" check "$source_dir/examples/policies/quest.py" --model model > out.txt 2> err.txt || fail "another kind's"
grep -q "needs a vFlowMLA policy" err.txt out.txt || fail "what is wrong with it"

echo "a policy and dense attention write"
"$vortex" generate "v1 v2 v3 ;" --model model --device cpu --policy seeds/rope_aware.py --compare --max-tokens 8 \
  --format json > out.txt 2> err.txt || fail "generate"

echo "a search goes through every stage"
"$vortex" search --model model --device cpu --definitions 60 --chain 4 --problems 4 --max-new-tokens 10 --seeds seeds \
  --accept-baseline --speed-seconds 0 --max-evals 4 --for 5m --rank-speed modelled --no-confirm --workspace w \
  --format json > front.json 2> err.txt || fail "the search"
grep -qE '"origin": *"(seed|mutate|crossover|random)"' front.json || fail "the front"
