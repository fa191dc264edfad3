#include "kernels/cuda/select.cuh"
#include "kernels/cuda/sm90_device.cuh"
#include "kernels/cuda/sm90_row_scorer.cuh"

namespace vortex::cuda {
namespace {

template <int kDim, int kThreads>
__global__ void __launch_bounds__(kThreads, 1024 / kThreads)
    score_and_select_kernel(const ScoreAndSelect a, const SelectionRule rule, const SelectionOutput out) {
  extern __shared__ std::uint32_t keys[];
  __shared__ Digits digits;
  const int row = static_cast<int>(blockIdx.x);
  allow_successor();
  const RowPlan plan = plan_row(rule, out, row / rule.num_kv_heads);
  clear<kThreads>(digits, kBins);
  RowScorer<kDim> scorer(a, rule, plan, row, static_cast<int>(threadIdx.x) / 32 * 32, kThreads);
  __syncthreads();
  wait_for_predecessors();
  scorer.load_query(row, a.num_q_heads / rule.num_kv_heads);
  std::int32_t* selected = out.blocks + static_cast<std::int64_t>(row) * out.max_selected;
  write_fixed_blocks(plan, selected, out.counts + row);
  if (plan.k == 0) { return; }

  scorer.run([&](int place, std::uint32_t key) {
    keys[place] = key;
    digits.count_leading(key);
  });
  if (a.round_bf16) {
    select_row<kThreads, 16>(keys, digits, true, plan, 0.0F, selected);
  } else {
    select_row<kThreads, 32>(keys, digits, true, plan, 0.0F, selected);
  }
}

template <int kDim, int kThreads>
cudaError_t launch(const ScoreAndSelect& a, const SelectionRule& rule, const SelectionOutput& out,
                   cudaStream_t stream) {
  const auto kernel = score_and_select_kernel<kDim, kThreads>;
  const std::size_t shared_bytes = key_bytes(a.max_blocks);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (error != cudaSuccess) { return error; }
  const auto rows = static_cast<unsigned>(rule.num_requests * rule.num_kv_heads);
  return launch_early(kernel, dim3(rows), kThreads, shared_bytes, stream, a, rule, out);
}

// Up to this many rows two large blocks a multiprocessor hold them all at once, and have more loads in flight than four
// small ones that are not all there (measured on an H100: 3 % of a whole step at 256 rows; at 512 rows 5 % lost).
constexpr int kFewRows = 384;

template <int kDim>
cudaError_t launch_blocks(const ScoreAndSelect& a, const SelectionRule& rule, const SelectionOutput& out,
                          cudaStream_t stream) {
  const bool few = rule.num_requests * rule.num_kv_heads <= kFewRows;
  if (a.max_blocks <= 2048 && !few) { return launch<kDim, 256>(a, rule, out, stream); }
  return launch<kDim, 512>(a, rule, out, stream);
}

template <int kDim>
cudaError_t attributes_of(int threads, cudaFuncAttributes& attributes) {
  if (threads == 256) { return cudaFuncGetAttributes(&attributes, score_and_select_kernel<kDim, 256>); }
  if (threads == 512) { return cudaFuncGetAttributes(&attributes, score_and_select_kernel<kDim, 512>); }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t score_and_select_attributes(int head_dim, int threads, cudaFuncAttributes& attributes) {
  if (head_dim == 64) { return attributes_of<64>(threads, attributes); }
  if (head_dim == 128) { return attributes_of<128>(threads, attributes); }
  return cudaErrorNotSupported;
}

cudaError_t score_and_select(const ScoreAndSelect& args, const SelectionRule& rule, const SelectionOutput& out,
                             cudaStream_t stream) {
  const bool pointers = args.q && args.centroids && args.pages;
  if (!pointers || !valid(rule, out, args.max_blocks)) { return cudaErrorInvalidValue; }
  if (args.num_q_heads <= 0 || args.num_q_heads % rule.num_kv_heads != 0) { return cudaErrorInvalidValue; }
  if (rule.num_requests == 0) { return cudaSuccess; }
  if (args.head_dim == 64) { return launch_blocks<64>(args, rule, out, stream); }
  if (args.head_dim == 128) { return launch_blocks<128>(args, rule, out, stream); }
  return cudaErrorNotSupported;
}

}  // namespace vortex::cuda
