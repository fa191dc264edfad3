#!/usr/bin/env bash
# Builds, tests and measures on a machine with a GPU.
#   scripts/gpu.sh [--build DIR] [--out DIR] PART...
# Parts, in the order given; none stops those after it, and each has its own limits:
#   tests     the tests of the CUDA kernels and of the CUDA engine
#   products  the tests of the matrix products and of the engine alone; where the first fail, cuBLASLt multiplies from there on
#   sanitize  some tests of every kernel, and of the engine, under compute-sanitizer: memcheck and racecheck
#   kernels   the kernels' microbenchmark
#   step      whole decode steps: dense and block top-k, bf16 and fp8, beside the limit model
#   profile   the block top-k step with one stage after the other left out, and with cuBLASLt's products alone
#   regress   the register of speed: the fixed set beside what was recorded of this card; with $RECORD set its file is
#             written to the --out folder
#   trace     the AIME24-shaped trace: dense, block top-k, block top-k with fp8 KV; the pool limits the batch
#   batches   the same with at most 64 requests
#   check     a small trace decoded in full beside its estimate
#   workload  five policies' speed-ups on the AIME24-shaped trace: by traces of their own, and in turns as the ladder
#             measures them; fails where the two are more than 3 % apart
#   serve     served loads of 16K-token prompts at 2, 4 and 8 a second, dense and block top-k; one with prompts as they were
#   pieces    block top-k at 4 a second with smaller pieces of prompts between two decode steps
#   share     the same with a share of the time for decoding, beside prompts as they were, and rates up to where the first
#             tokens come ever later
#   served    `vortex serve` on the model folder $MODEL as a program: streams, seeds, 32 clients at once, SIGTERM
#   mooncake  served loads of prompts and answers of many lengths, as Mooncake's conversation trace has them (log-normal by
#             its mean and median, cut at 64K tokens, no prefixes): now and with prompts as they were; the AIME24-shaped
#             trace both ways
#   policies  compiled policies: the tests of the forms that they can be compiled in, kernels and compile times, and whole
#             steps as they are and in all forms
#   keeper    weights kept between workers at Qwen3-1.7B's shape: who may read and write them, what a start costs
#   torch     the dense baseline from PyTorch parts (needs PyTorch)
#   groups    the tests of any number of query heads a kv head and of every KV type, and what odd groups cost
#   latent    the tests of latent attention, its kernels' times, and whole steps of eight layers of GLM-4.7-Flash's shape:
#             dense, and with a policy
#   experts   the tests of layers with experts, their kernels' times, and whole steps at the shapes of Qwen3-30B-A3B and of
#             eight layers of MiniMax-M2, in bf16 and in fp8
#   mla       latents and experts in six minutes: tests, attention's and the expert layer's times, whole steps of
#             GLM-4.7-Flash's shape at full depth, dense and with a policy, in bf16 and with fp8 experts, of
#             DeepSeek-V2-Lite's, and some tests under compute-sanitizer
#   latents   a thousand random policies on latents beside the CPU, twelve processes at once
#   tensor    two or more devices, of which it takes 2 or 4: ranks, from their tests to whole models, with a table of what
#             they came to last (scripts/gpu_tensor.sh says what, in which order and how long)
#   rows      rows of attention over one thread block and over several: the tests that their bits are the same, the kernels'
#             times, and steps of engines whose bits do not depend on the batch (docs/benchmarks/hand-over.md)
#   recall    a policy's recall at Qwen3-1.7B's shape: 2 problems of 16K tokens, and its tests
#   prompts   the tests of prompts; prompts of 4K, 16K and 32K tokens: as they were, as they are, and in
#             transformers (needs PyTorch and transformers)
#   devices   greedy tokens of the CPU and of the device on the model folder $MODEL: equal up to near ties
# --build DIR  the build's folder (default build-gpu); what is missing is built, what is there is kept
# --built      nothing is built: the programs are there
# --out DIR    where the files go (default: the build's folder): build.txt, output.txt (all that ran, in full),
#              engine.json (the engine's measurements, an object a run), kernels.json
set -uo pipefail
cd "$(dirname "$0")/.."
build=build-gpu
out=
built=
while [[ ${1:-} == --* ]]; do
  case "$1" in
    --build) build=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --built) built=1; shift ;;
    *) echo "unknown option $1" >&2; exit 1 ;;
  esac
done
out=${out:-$build}
mkdir -p "$build" "$out"
bin=$build/bin
policy=examples/policies/block_topk.py
status=0

cublas=$(scripts/find_in_pytorch.sh cublasLt)
[[ -n $built ]] || {
  cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DVORTEX_ENGINE_ONLY=ON -DVORTEX_ORACLE="${VORTEX_ORACLE:-OFF}" \
    ${cublas:+-DVORTEX_CUBLASLT_HINT="$cublas"} &&
    cmake --build "$build" --target vortex-bench vortex-bench-kernels kernels_cuda_tests core_engine_cuda_tests model_logits
} >"$out/build.txt" 2>&1 || { grep -E "error|FAILED|Error" "$out/build.txt" | head -n 40; exit 1; }
: >"$out/output.txt"
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,temperature.gpu --format=csv,noheader |
  tee -a "$out/output.txt" || true

# run NAME SECONDS COMMAND...: the end of its output is shown, all of it is kept. With `$ends_at` (seconds since the
# start) nothing begins or goes on later.
run() {
  local name=$1 limit=$2 code=0
  shift 2
  if [[ -n ${ends_at:-} ]]; then
    limit=$((limit < ends_at - SECONDS ? limit : ends_at - SECONDS))
    ((limit > 5)) || { echo "== $name: no time left" | tee -a "$out/output.txt"; status=1; return 1; }
  fi
  echo "== $name ($(date +%T))" | tee -a "$out/output.txt"
  timeout -k 5 "$limit" "$@" >"$build/part.txt" 2>&1 || code=$?
  [[ $code == 0 ]] || { status=$code; echo "$name: exit code $code" | tee -a "$out/output.txt"; }
  cat "$build/part.txt" >>"$out/output.txt"
  tail -n "${lines:-24}" "$build/part.txt"
  return "$code"
}

products=()  # --cublas-only where our own products are wrong
bench() {
  local name=$1 limit=$2 verb=$3
  shift 3
  run "$name" "$limit" "$bin/vortex-bench" "$verb" --device "${VORTEX_DEVICE:-cuda}" --json "$out/engine.json" "${products[@]}" "$@"
  local code=$?
  # What was measured before it failed or ran out of time.
  [[ ! -f $out/engine.json.part ]] || { cat "$out/engine.json.part" >>"$out/engine.json"; rm "$out/engine.json.part"; }
  return $code
}

sanitize() {
  lines=6 run "$1 $2" "$3" compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/$2" --gtest_brief=1 --gtest_filter="$4"
}

source scripts/gpu_tensor.sh

part() {
  local pages=("--policy" "$policy" --pages 64)
  local aime=("--policy" "$policy" --ratio 0.0625 --dense-layers 0)
  local stages=(--without attention --without select --without products --without small --without head --without planning)
  case "$1" in
    tests)
      run kernel-tests 60 "$bin/kernels_cuda_tests" --gtest_brief=1
      run engine-tests 100 "$bin/core_engine_cuda_tests" --gtest_brief=1 ;;
    products)
      run product-tests 40 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='Gemm*:Elementwise*' ||
        products=(--cublas-only)
      run engine-tests 90 "$bin/core_engine_cuda_tests" --gtest_brief=1 ;;
    sanitize)
      sanitize memcheck kernels_cuda_tests 60 '-*RightDistribution*:*LargeVocabulary*:*LongRows*:*EverySchedule*:*ManyRows*:*CompanyChanges*:*AnyNumberOf*:*PoolsMayBe*:*SchedulesAgree*'
      sanitize racecheck kernels_cuda_tests 60 \
        '*Adversarial*:*Fused*:*DependsOn*:*TopKOf*:*Allocates*:*EveryShape:*Covering*:Append*:Elementwise*:Gemm.Waits*:*HugeAndEqual*:*Uneven*:*AGraph*:*TouchNoExpert*'
      sanitize memcheck core_engine_cuda_tests 90 '*SparseLogits*:*NothingUnwritten*' ;;
    kernels) run kernels 90 "$bin/vortex-bench-kernels" --json "$out/kernels.json" ;;
    step)
      bench step-dense 60 step 64x8192 32x16384 --kv-gb 62
      bench step-topk 60 step 64x8192 32x16384 8x16384 1x16384 --kv-gb 63 "${pages[@]}"
      bench step-topk-invariant 60 step 64x8192 32x16384 --kv-gb 63 --batch-invariant "${pages[@]}"
      bench step-topk-fp8 60 step 64x8192 128x8192 --max-batch 128 --kv fp8_e4m3 --kv-gb 66 "${pages[@]}" ;;
    profile)
      bench profile 60 step 64x8192 32x16384 --kv-gb 63 "${pages[@]}" "${stages[@]}"
      bench profile-cublas 40 step 64x8192 32x16384 --kv-gb 63 "${pages[@]}" --cublas-only ;;
    regress)
      local record=()
      [[ -z ${RECORD:-} ]] || record=(--record --build "$RECORD" --register "$out/register")
      lines=60 run regress 560 "$bin/vortex-bench" regress --device cuda "${record[@]}" ;;
    trace)
      local all=(--max-batch 512 --max-context 32768 --windows 24)
      bench trace-dense 60 trace "${all[@]}"
      bench trace-topk 60 trace "${all[@]}" "${aime[@]}"
      bench trace-topk-fp8 60 trace "${all[@]}" "${aime[@]}" --kv fp8_e4m3 ;;
    batches)
      local some=(--max-batch 64 --max-context 32768 --windows 24)
      bench trace-dense-64 60 trace "${some[@]}"
      bench trace-topk-64 60 trace "${some[@]}" "${aime[@]}"
      bench trace-topk-fp8-64 60 trace "${some[@]}" "${aime[@]}" --kv fp8_e4m3 ;;
    check)
      local small=(--requests 120 --mean-output 1000 --longest-output 2500 --max-batch 64 --max-context 2816 --kv-gb 22)
      bench check-estimate 40 trace "${small[@]}" "${aime[@]}" --windows 32
      bench check-run 60 trace "${small[@]}" "${aime[@]}" --windows 0 --warm-up ;;
    workload)
      lines=40 run workload 420 scripts/workload_agreement.py "$bin/vortex-bench" --device cuda --max-batch 512 \
        --max-context 32768 ;;
    serve)
      local load=(--prompt 16384 --outputs 256 --max-batch 32 --max-context 17408)
      for rate in 2 4 8; do
        bench "serve-dense-$rate" 90 serve-sim "${load[@]}" --requests $((rate * 15)) --rate "$rate"
        bench "serve-topk-$rate" 90 serve-sim "${load[@]}" --requests $((rate * 15)) --rate "$rate" "${pages[@]}"
      done
      bench serve-topk-4-before 90 serve-sim "${load[@]}" --requests 60 --rate 4 "${pages[@]}" --chunk-ms 0 \
        --plain-attention --prompt-chunk 1024 ;;
    pieces)
      local sixteen=(--prompt 16384 --outputs 256 --max-batch 32 --max-context 17408 --requests 60 --rate 4)
      for milliseconds in 4 7 12; do
        bench "pieces-$milliseconds" 60 serve-sim "${sixteen[@]}" "${pages[@]}" --chunk-ms "$milliseconds"
      done ;;
    share)
      local shared=(--prompt 16384 --outputs 256 --max-batch 32 --max-context 17408)
      bench share-before 60 serve-sim "${shared[@]}" --requests 40 --rate 4 "${pages[@]}" --chunk-ms 0 --plain-attention \
        --prompt-chunk 1024
      for share in 0.35 0.4; do
        bench "share-$share" 60 serve-sim "${shared[@]}" --requests 60 --rate 4 "${pages[@]}" --chunk-ms 40 \
          --decode-share "$share"
      done
      bench share-dense-3 60 serve-sim "${shared[@]}" --requests 60 --rate 3
      bench share-dense-4 60 serve-sim "${shared[@]}" --requests 60 --rate 4
      bench share-topk-5 60 serve-sim "${shared[@]}" --requests 75 --rate 5 "${pages[@]}" --chunk-ms 40
      bench share-topk-6 60 serve-sim "${shared[@]}" --requests 90 --rate 6 "${pages[@]}" --chunk-ms 40 ;;
    served)
      [[ -x $bin/vortex-serve && -x $bin/vortex-bench-load ]] || {
        echo "served: vortex-serve is not in $bin; a build without VORTEX_ENGINE_ONLY has it" | tee -a "$out/output.txt"
        status=1
        return 1
      }
      lines=40 run served 75 scripts/serve_check.py "$bin" "$MODEL" "${VORTEX_DEVICE:-cuda}" "$policy" --seconds 60 ;;
    mooncake)
      local many=(--prompt 12035 --prompt-sigma 1.05 --outputs 343 --output-sigma 0.5 --max-batch 32 --max-context 66560)
      local before=(--plain-attention --prompt-chunk 1024) aime_all=(--max-batch 512 --max-context 32768 --windows 24)
      bench mooncake-dense 60 serve-sim "${many[@]}" --requests 60 --rate 2
      bench mooncake-topk 60 serve-sim "${many[@]}" --requests 60 --rate 2 "${pages[@]}"
      bench mooncake-topk-before 90 serve-sim "${many[@]}" --requests 60 --rate 2 "${pages[@]}" "${before[@]}" --chunk-ms 0
      bench trace-topk-now 60 trace "${aime_all[@]}" "${aime[@]}"
      bench trace-topk-before 60 trace "${aime_all[@]}" "${aime[@]}" "${before[@]}" ;;
    prompts)
      run prompt-kernels 60 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='Prefill*'
      run prompt-engine 120 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='CudaPrompts.*'
      local lengths=(prompt 4096 16384 32768 --max-batch 1 --max-context 33024 --samples 5)
      bench prompts-before 60 "${lengths[@]}" --plain-attention --prompt-chunk 1024
      bench prompts-now 60 "${lengths[@]}"
      bench prompts-now-invariant 60 "${lengths[@]}" --batch-invariant
      run prompts-transformers 120 python3 scripts/transformers_prompts.py 4096 16384 32768 ;;
    policies)
      cmake --build "$build" --target policy_bench core_compile_cuda_tests >>"$out/build.txt" 2>&1
      local compiled=$bin/core_compile_cuda_tests slow=() name
      run policy-forms 60 "$compiled" --gtest_brief=1 --gtest_filter='PolicyForms.*'
      # A quarter of a thousand random policies and those of the tree, in all forms beside the CPU.
      GTEST_TOTAL_SHARDS=4 GTEST_SHARD_INDEX=0 VORTEX_POLICY_FORMS=all run policy-forms-all 250 "$compiled" --gtest_brief=1 \
        --gtest_filter='*CudaRandomPolicies*'
      VORTEX_POLICY_FORMS=all run policy-forms-tree 100 "$compiled" --gtest_brief=1 --gtest_filter='CudaPolicy.*'
      lines=90 run policies 120 "$bin/policy_bench" --json "$out/policies.json"
      # Whole steps as they are compiled, then in all forms beside them.
      for name in wide_state momentum_query channel_gate channel_exp silu_channels four_fields softmax_heads \
        conv_channels two_products centred; do slow+=(--only "$name 48x8192"); done
      lines=30 run policy-steps 250 "$bin/vortex-bench" regress --device cuda --record --runs 1 --register "$out/forms" \
        "${slow[@]}"
      VORTEX_POLICY_FORMS=all lines=30 run policy-steps-forms 250 "$bin/vortex-bench" regress --device cuda \
        --register "$out/forms" "${slow[@]}" ;;
    groups)
      run group-kernels 100 "$bin/kernels_cuda_tests" --gtest_brief=1 \
        --gtest_filter='*EveryShape*:*EveryGroup*:*OddGroup*:*Covering*:Append*:*Fused*'
      run group-engine 100 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='CudaGroups.*'
      run group-kernel-times 60 "$bin/vortex-bench-kernels" --filter attention_groups --json "$out/groups.json" ;;
    latent)
      run latent-kernels 60 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='Latent*:HeadProducts*:Recall*Latents'
      run latent-engine 100 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='CudaLatent.*'
      lines=60 run latent-times 90 "$bin/vortex-bench-kernels" --filter latent --sweep --json "$out/latent.json"
      run latent-products 30 "$bin/vortex-bench-kernels" --filter head_products
      local glm=(--geometry glm-4.7-flash --layers 8)
      bench latent-dense 150 step 16x16384 32x8192 "${glm[@]}" --without attention --without small
      bench latent-policy 150 step 16x16384 32x8192 "${glm[@]}" --policy examples/policies/mla/rope_aware.py \
        --without attention --without select ;;
    experts)
      run expert-kernels 60 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='Router*:Experts*:Append*'
      run expert-engine 100 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='CudaExpert*'
      lines=110 run expert-times 180 "$bin/vortex-bench-kernels" --filter moe --json "$out/experts.json"
      local steps=(step 1x4096 8x4096 32x4096 --max-batch 32 --max-context 4608 --without products)
      bench expert-qwen 120 "${steps[@]}" --geometry qwen3-30b-a3b --kv-gb 14
      bench expert-minimax 120 "${steps[@]}" --geometry minimax-m2 --layers 8
      bench expert-minimax-fp8 120 "${steps[@]}" --geometry minimax-m2 --layers 8 --fp8-experts ;;
    mla)
      run mla-kernels 60 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='Latent*:Experts.ProductsAgree*'
      lines=60 run mla-attention 60 "$bin/vortex-bench-kernels" --filter latent_attention --json "$out/latent.json"
      lines=30 run mla-layers 60 "$bin/vortex-bench-kernels" --filter moe_layer --json "$out/experts.json"
      local policy_pages=(--policy examples/policies/mla/rope_aware.py --pages 64)
      local glm=(--geometry glm-4.7-flash --progress) some=(step 16x16384 32x8192 32x12288 --max-batch 32)
      bench mla-dense 60 "${some[@]}" "${glm[@]}" --without attention --without products
      bench mla-policy 60 "${some[@]}" "${glm[@]}" "${policy_pages[@]}" --without attention --without select
      run mla-engine 60 "$bin/core_engine_cuda_tests" --gtest_brief=1 \
        --gtest_filter='CudaLatent.Logits*:CudaLatent.ABudget*:CudaLatent.TokensDepend*:CudaLatent.NothingUnwritten*'
      local many=(step 32x12288 64x16384 --max-batch 64)
      bench mla-fp8-dense 40 "${many[@]}" "${glm[@]}" --fp8-experts
      bench mla-fp8-policy 40 "${many[@]}" "${glm[@]}" --fp8-experts "${policy_pages[@]}"
      bench mla-v2-lite-dense 30 step 64x16384 --geometry deepseek-v2-lite --progress
      bench mla-v2-lite-policy 30 step 64x16384 --geometry deepseek-v2-lite --progress "${policy_pages[@]}"
      sanitize memcheck kernels_cuda_tests 60 \
        'LatentAttentionTest.HugeAndEqual*:LatentAppendTest.Stores*:Experts.AGraph*:Experts.Uneven*:Router.A*:Router.RowsThat*'
      sanitize racecheck kernels_cuda_tests 40 'LatentAttentionTest.HugeAndEqual*:Experts.AGraph*:Router.A*:*TouchNoExpert*' ;;
    latents)
      [[ -n $built ]] || cmake --build "$build" --target core_compile_cuda_tests >>"$out/build.txt" 2>&1
      local shard pids=() failed=0
      for shard in {0..11}; do
        GTEST_TOTAL_SHARDS=12 GTEST_SHARD_INDEX=$shard timeout 280 "$bin/core_compile_cuda_tests" --gtest_brief=1 \
          --gtest_filter='*CudaRandomLatentPolicies*' >"$out/latents-$shard.txt" 2>&1 &
        pids+=($!)
      done
      for shard in "${pids[@]}"; do wait "$shard" || failed=$((failed + 1)); done
      echo "latents: $failed of 12 processes failed" | tee -a "$out/output.txt"
      tail -n 3 "$out"/latents-*.txt >>"$out/output.txt"
      ((failed == 0)) || status=1 ;;
    tensor) tensor_part ;;
    rows)
      local few=(--max-batch 16 --max-context 16640 --kv-gb 36)
      run rows-kernel-tests 60 "$bin/kernels_cuda_tests" --gtest_brief=1 \
        --gtest_filter='RowPieces*:SelectAndAttend*:DecodeAttention*'
      run rows-engine-tests 90 "$bin/core_engine_cuda_tests" --gtest_brief=1 \
        --gtest_filter='FewRows*:*DependOn*:*BudgetForAll*:*NothingUnwritten*:*ForcedDecoding*'
      lines=60 run rows-kernels 40 "$bin/vortex-bench-kernels" --filter select_attend
      for row_pieces in 1 4 8; do
        bench "few-$row_pieces" 60 step 1x16384 2x16384 4x16384 8x16384 16x16384 "${few[@]}" "${pages[@]}" \
          --batch-invariant --row-pieces $row_pieces
        bench "dense-$row_pieces" 60 step 1x16384 8x16384 16x16384 "${few[@]}" --batch-invariant --row-pieces $row_pieces
        bench "many-$row_pieces" 60 step 64x8192 32x16384 --kv-gb 63 "${pages[@]}" --batch-invariant --row-pieces $row_pieces
      done
      bench few-fast 60 step 1x16384 2x16384 4x16384 8x16384 16x16384 "${few[@]}" "${pages[@]}" ;;
    recall)
      run recall-tests 60 "$bin/kernels_cuda_tests" --gtest_brief=1 --gtest_filter='Recall*:LogProbs*'
      run recall-engine 60 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='*Forced*:*Recall*:*Everything*'
      bench recall-topk 90 recall 2x16384 --max-batch 2 --batch-invariant "${pages[@]}"
      bench recall-quest 90 recall 2x16384 --max-batch 2 --batch-invariant --policy examples/policies/quest.py --pages 64 ;;
    devices)
      cmake --build "$build" --target compare_devices >>"$out/build.txt" 2>&1
      lines=40 run devices 200 "$bin/compare_devices" "$MODEL" docs/vflow.md examples/policies/block_topk.py \
        examples/policies/quest.py ;;
    keeper)
      cmake --build "$build" --target core_engine_cuda_tests sandbox_tests vortex-worker start_bench >>"$out/build.txt" 2>&1
      run keeper-memory 60 "$bin/core_engine_cuda_tests" --gtest_brief=1 --gtest_filter='ExportedMemory*:KeptOnDevice*:GemmCache*'
      run keeper-process 100 "$bin/sandbox_tests" --gtest_brief=1 --gtest_filter='WeightKeeper*:WorkerSlots*'
      [[ -f $build/random-1.7b/tokenizer.json ]] || python3 scripts/random_checkpoint.py "$build/random-1.7b" qwen3-1.7b
      run keeper-start 240 "$bin/start_bench" "$bin/vortex-worker" "$build/random-1.7b" cuda 5 ;;
    torch) run torch 100 python3 scripts/torch_dense_baseline.py 64x8192 ;;
    *) echo "unknown part $1" >&2; return 1 ;;
  esac
}

for name in "$@"; do part "$name" || true; done
exit "$status"
