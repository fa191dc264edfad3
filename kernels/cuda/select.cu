#include "kernels/cuda/select.cuh"

namespace vortex::cuda {
namespace {

template <class Score, int kThreads>
__global__ void __launch_bounds__(kThreads)
    select_blocks_kernel(const SelectBlocks a, const SelectionRule rule, const SelectionOutput out) {
  extern __shared__ std::uint32_t keys[];
  __shared__ Digits digits;
  const int row = static_cast<int>(blockIdx.x);
  const RowPlan plan = plan_row(rule, out, row / rule.num_kv_heads);
  std::int32_t* selected = out.blocks + static_cast<std::int64_t>(row) * out.max_selected;
  write_fixed_blocks(plan, selected, out.counts + row);
  if (plan.k == 0) { return; }

  const auto* scores = static_cast<const Score*>(a.scores) + static_cast<std::int64_t>(row) * a.max_blocks + plan.first;
  const int competing = plan.last - plan.first;
  constexpr bool kBf16 = sizeof(Score) == 2;
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x); i < competing; i += kThreads) {
    const std::uint32_t key = score_key(static_cast<float>(scores[i]));
    keys[i] = kBf16 ? key & 0xffff0000U : key;
  }
  select_row<kThreads, kBf16 ? 16 : 32>(keys, digits, false, plan, a.tolerance, selected);
}

template <class Score, int kThreads>
cudaError_t launch(const SelectBlocks& a, const SelectionRule& rule, const SelectionOutput& out, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(rule.num_requests * rule.num_kv_heads);
  const auto kernel = select_blocks_kernel<Score, kThreads>;
  const std::size_t shared_bytes = key_bytes(a.max_blocks);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (error != cudaSuccess) { return error; }
  kernel<<<rows, kThreads, shared_bytes, stream>>>(a, rule, out);
  return cudaGetLastError();
}

template <class Score>
cudaError_t launch_blocks(const SelectBlocks& a, const SelectionRule& rule, const SelectionOutput& out,
                          cudaStream_t stream) {
  if (a.max_blocks <= 2048) { return launch<Score, 256>(a, rule, out, stream); }
  if (a.max_blocks <= 8192) { return launch<Score, 512>(a, rule, out, stream); }
  return launch<Score, 1024>(a, rule, out, stream);
}

}  // namespace

cudaError_t select_blocks(const SelectBlocks& args, const SelectionRule& rule, const SelectionOutput& out,
                          cudaStream_t stream) {
  if (args.scores == nullptr || !valid(rule, out, args.max_blocks)) { return cudaErrorInvalidValue; }
  if (!(args.tolerance >= 0.0F && args.tolerance <= 1.0F)) { return cudaErrorInvalidValue; }
  if (args.tolerance > 0.0F && args.type != ScoreType::bf16) { return cudaErrorNotSupported; }
  if (rule.num_requests == 0) { return cudaSuccess; }
  return args.type == ScoreType::bf16 ? launch_blocks<Bf16>(args, rule, out, stream)
                                      : launch_blocks<float>(args, rule, out, stream);
}

}  // namespace vortex::cuda
