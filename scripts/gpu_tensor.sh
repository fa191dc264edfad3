# The part `tensor` of gpu.sh, which reads this file: a model on two or four cards of one host. In the order of what the
# figures are worth, each with a limit of its own and none stopping those after it. $TENSOR_SECONDS (560) after gpu.sh's
# start nothing begins or goes on any more but the summary; what has no time left says so. Where a call may take ten minutes
# build in one (scripts/gpu.sh without a part) and measure in the next (scripts/gpu.sh --built tensor). Needs about 150 GB for MiniMax-M2's weights on all cards together, else as many of its layers
# as fit; on 141 GB a card and two cards it is whole.
#
#   kernels       tests of the exchanges
#   times         all-reduces by size, alone and with residual and norm, beside NCCL's in the same run
#   engine        tests of the engine's ranks, one that stays away among them
#   minimax       MiniMax-M2 in fp8: 8K, 16K and 32K tokens, as many requests as fit beside block top-k's fields; block
#                 top-k, then dense with as many
#   qwen          Qwen3-32B on one card, as many requests as fit; the same shapes on all cards, and larger ones
#   ranks         Qwen3-1.7B: log-probabilities, chosen pages and 256 greedy tokens on ranks beside one card
#   transformers  four layers of MiniMax-M2's shape with 32 experts beside transformers, on one card and on ranks
#   summary       what all that came to, beside what is asked; the cards' memory when it is over
#
# VORTEX_DEVICE=cpu scripts/gpu.sh --built --build BUILD --out DIR tensor: everything but kernels, on the CPU with tiny
# shapes, to see that it runs.

# measured_shapes GEOMETRY SHAPES...: those of the last measurement, if it was of that geometry; or the ones given.
measured_shapes() {
  local geometry=$1
  shift
  python3 scripts/tensor_summary.py --shapes "$out/engine.json" "$geometry" 2>/dev/null || echo "$@"
}

tensor_part() {
  local ends_at=${TENSOR_SECONDS:-560} cards=2 gib=0 nccl
  local lines=30
  local topk=(--policy "$policy" --pages 64)
  local qwen=(--geometry qwen3-32b --max-context 17408 --samples 7)
  local minimax=(--geometry minimax-m2 --fp8-experts --max-context 33792 --max-batch 160 --samples 7)
  local small=(--geometry qwen3-1.7b --max-context 2048 --max-batch 1)
  local prompts=(fitx8192 fitx16384 fitx32768) larger=(fitx8192 8x16384) without=(--without exchange)
  # Nothing is loaded while a card waits for another; LAZY starts sooner, and has not been tried.
  export CUDA_MODULE_LOADING=${CUDA_MODULE_LOADING:-EAGER}
  if [[ ${VORTEX_DEVICE:-cuda} == cpu ]]; then
    topk=(--policy "$policy" --pages 6)
    qwen=(--geometry tiny --max-context 700 --samples 3 --max-batch 4)
    minimax=(--geometry tiny-experts --max-context 700 --samples 3 --max-batch 3)
    small=(--geometry tiny --max-context 700 --max-batch 1)
    prompts=(fitx200 fitx400) larger=(fitx200 2x400) without=()
  else
    cards=$(nvidia-smi -L | wc -l)
    [[ -z ${CUDA_VISIBLE_DEVICES:-} ]] || cards=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES" | grep -c .)
    cards=$((cards >= 4 ? 4 : cards >= 2 ? 2 : 1))
    gib=$(($(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits | head -n 1) / 1024))
    nvidia-smi topo -m >>"$out/output.txt" 2>&1
    run tensor-kernels 45 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='AllReduce*'
    if ((cards < 2)); then
      run tensor-engine 60 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='CudaRankLink.*'
      echo "ranks of an engine need two devices, and here is $cards"
      return 1
    fi
    nccl=$(scripts/find_in_pytorch.sh nccl)
    run tensor-times 90 "$bin/vortex-bench-kernels" --filter all_reduce --json "$out/all_reduce.json" ${nccl:+--nccl "$nccl"}
    run tensor-engine 75 "$bin/core_engine_cuda_tests" --gtest_brief=1 \
      --gtest_filter='CudaTensorParallel.*:CudaRankLink.*'
    # 3.7 GB a layer on all cards together, and 14 GB a card for all else and some requests.
    local layers=$(((gib - 16) * cards * 10 / 37))
    ((layers >= 62)) || minimax+=(--layers "$layers")
  fi
  local ranks=(--tensor-parallel "$cards")
  bench tensor-minimax-topk 90 step "${prompts[@]}" "${ranks[@]}" "${minimax[@]}" "${topk[@]}" "${without[@]}"
  # shellcheck disable=SC2046
  bench tensor-minimax-dense 90 step $(measured_shapes "${minimax[1]}" 4x8192 2x16384 1x32768) "${ranks[@]}" "${minimax[@]}" "${without[@]}"
  local two=("${prompts[@]:0:2}")
  if bench tensor-qwen-one-topk 60 step "${two[@]}" "${qwen[@]}" "${topk[@]}"; then
    local shapes
    read -ra shapes <<<"$(measured_shapes "${qwen[1]}" 1x8192 1x16384)"
    bench tensor-qwen-one-dense 60 step "${shapes[@]}" "${qwen[@]}"
    bench tensor-qwen-topk 60 step "${shapes[@]}" "${larger[@]}" "${ranks[@]}" "${qwen[@]}" "${topk[@]}" "${without[@]}"
    read -ra shapes <<<"$(measured_shapes "${qwen[1]}" 1x8192 1x16384)"
    bench tensor-qwen-dense 60 step "${shapes[@]}" "${ranks[@]}" "${qwen[@]}" "${without[@]}"
  else
    bench tensor-qwen-topk 60 step "${larger[@]}" "${ranks[@]}" "${qwen[@]}" "${topk[@]}" "${without[@]}"
    # shellcheck disable=SC2046
    bench tensor-qwen-dense 60 step $(measured_shapes "${qwen[1]}" 8x8192 8x16384) "${ranks[@]}" "${qwen[@]}" "${without[@]}"
  fi
  bench tensor-ranks 100 ranks 1x400 "${ranks[@]}" "${small[@]}" "${topk[@]:0:2}" --pages 8 --batch-invariant --outputs 256
  if python3 -c 'import transformers' 2>/dev/null; then
    run tensor-transformers 120 python3 scripts/compare_transformers.py --program "$bin/model_logits" \
      --device "${VORTEX_DEVICE:-cuda}" --models MiniMax-M2 --ranks "1,$cards" --lengths 17,300 --greedy 64 \
      --json "$out/transformers.json"
  else
    echo "== tensor-transformers: this Python has none"
  fi
  ends_at=  # a summary takes no time
  lines=80 run tensor-summary 20 python3 scripts/tensor_summary.py "$out"
  [[ ${VORTEX_DEVICE:-cuda} == cpu ]] || nvidia-smi --query-gpu=index,memory.used,utilization.gpu --format=csv,noheader
}
