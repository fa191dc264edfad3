#include "kernels/cuda/select.cuh"

namespace vortex::cuda {
namespace {

template <class Score, int kPerThread, int kThreads>
__global__ void __launch_bounds__(kThreads)
    select_blocks_kernel(const SelectBlocks a, const SelectionRule rule, const SelectionOutput out) {
  const int row = static_cast<int>(blockIdx.x);
  const RowPlan plan = plan_row(rule, out, row / rule.num_kv_heads);
  std::int32_t* selected = out.blocks + static_cast<std::int64_t>(row) * out.max_selected;
  write_fixed_blocks(plan, selected, out.counts + row);
  if (plan.k == 0) return;

  const auto* scores = static_cast<const Score*>(a.scores) + static_cast<std::int64_t>(row) * a.max_blocks + plan.first;
  const int competing = plan.last - plan.first;
  constexpr bool kBf16 = sizeof(Score) == 2;
  std::uint32_t keys[kPerThread];
#pragma unroll
  for (int j = 0; j < kPerThread; ++j) {
    const int position = key_position<kPerThread>(j);
    keys[j] = position < competing ? score_key(static_cast<float>(scores[position])) : 0U;
    if (kBf16) keys[j] &= 0xffff0000U;
  }
  select_row<kPerThread, kThreads, kBf16 ? 16 : 32>(keys, plan, a.tolerance, selected);
}

template <class Score>
cudaError_t launch(const SelectBlocks& a, const SelectionRule& rule, const SelectionOutput& out, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(rule.num_requests * rule.num_kv_heads);
  if (a.max_blocks <= 1024) {
    select_blocks_kernel<Score, 8, 128><<<rows, 128, 0, stream>>>(a, rule, out);
  } else if (a.max_blocks <= 2048) {
    select_blocks_kernel<Score, 8, 256><<<rows, 256, 0, stream>>>(a, rule, out);
  } else if (a.max_blocks <= 8192) {
    select_blocks_kernel<Score, 16, 512><<<rows, 512, 0, stream>>>(a, rule, out);
  } else {
    select_blocks_kernel<Score, 32, 1024><<<rows, 1024, 0, stream>>>(a, rule, out);
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t select_blocks(const SelectBlocks& args, const SelectionRule& rule, const SelectionOutput& out,
                          cudaStream_t stream) {
  if (args.scores == nullptr || !valid(rule, out, args.max_blocks)) return cudaErrorInvalidValue;
  if (!(args.tolerance >= 0.0F && args.tolerance <= 1.0F)) return cudaErrorInvalidValue;
  if (args.tolerance > 0.0F && args.type != ScoreType::bf16) return cudaErrorNotSupported;
  if (rule.num_requests == 0) return cudaSuccess;
  return args.type == ScoreType::bf16 ? launch<Bf16>(args, rule, out, stream) : launch<float>(args, rule, out, stream);
}

}  // namespace vortex::cuda
