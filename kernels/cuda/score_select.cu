#include "kernels/cuda/select.cuh"

namespace vortex::cuda {
namespace {

// A row's scores. A warp takes 32 blocks at a time: kDim / 8 lanes share a centroid, and the sums are scattered so that
// each lane ends with one block's score. What does not depend on the row's length is fetched before the length is
// known.
template <int kDim>
class RowScorer {
 public:
  __device__ __forceinline__ RowScorer(const ScoreAndSelect& a, const SelectionRule& rule, int row)
      : a_(a),
        num_kv_heads_(rule.num_kv_heads),
        kv_head_(row % rule.num_kv_heads),
        first_(rule.reserved_bos),
        pages_(a.pages + static_cast<std::int64_t>(row / rule.num_kv_heads) * a.max_blocks),
        position_(static_cast<int>(threadIdx.x)),
        page_(fetch_page()) {
    const int group = a.num_q_heads / rule.num_kv_heads;
#pragma unroll 2
    for (int g = 0; g < group; ++g) {
      float x[8];
      load8(a.q + (static_cast<std::int64_t>(row) * group + g) * kDim + lane() % kLanes * 8, x);
#pragma unroll
      for (int d = 0; d < 8; ++d) q_[d] += x[d];
    }
#pragma unroll
    for (int d = 0; d < 8; ++d) q_[d] /= static_cast<float>(group);
  }

  // Scores the `competing` blocks from the first unreserved one on.
  __device__ __forceinline__ void run(int competing, float* scores) {
    while (position_ - lane() < competing) {
      const int start = position_ - lane();
      const int page = position_ < competing ? page_ : 0;  // any page that exists: the score is not kept
      position_ += static_cast<int>(blockDim.x);
      page_ = fetch_page();
      float dots[kLanes];
#pragma unroll
      for (int from = 0; from < kLanes; from += kBatch) dot_products(page, from, dots);
      reduce_scatter<kLanes, kLanes>(dots, lane());
      const int scored = start + lane() % kLanes * kPerLoad + lane() / kLanes;
      if (scored < competing) {
        scores[scored] = a_.round_bf16 ? __bfloat162float(__float2bfloat16_rn(dots[0])) : dots[0];
      }
    }
  }

 private:
  static constexpr int kLanes = kDim / 8;
  static constexpr int kPerLoad = 32 / kLanes;
  static constexpr int kBatch = 8;  // centroids in flight per lane

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  // The page at position_, or what the table holds there past the row's end.
  __device__ __forceinline__ int fetch_page() const { return pages_[min(first_ + position_, a_.max_blocks - 1)]; }

  // This lane's share of blocks from ... from + kBatch - 1 of its group of lanes.
  __device__ __forceinline__ void dot_products(int page, int from, float (&dots)[kLanes]) const {
    uint4 centroids[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int of_block = __shfl_sync(kFullWarp, page, (from + i) * kPerLoad + lane() / kLanes);
      const std::int64_t at = of_block * num_kv_heads_ + kv_head_;
      centroids[i] = *reinterpret_cast<const uint4*>(a_.centroids + at * kDim + lane() % kLanes * 8);
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      float x[8];
      unpack8(centroids[i], x);
      float dot = q_[0] * x[0];
#pragma unroll
      for (int d = 1; d < 8; ++d) dot = fmaf(q_[d], x[d], dot);
      dots[from + i] = dot;
    }
  }

  const ScoreAndSelect& a_;
  int num_kv_heads_;
  int kv_head_;
  int first_;
  const std::int32_t* pages_;
  int position_;
  int page_;
  float q_[8] = {};  // the mean query, this lane's dimensions
};

template <int kDim, int kPerThread, int kThreads>
__global__ void __launch_bounds__(kThreads, kPerThread <= 16 ? 1024 / kThreads : 1)
    score_and_select_kernel(const ScoreAndSelect a, const SelectionRule rule, const SelectionOutput out) {
  extern __shared__ float scores[];
  const int row = static_cast<int>(blockIdx.x);
  allow_successor();
  wait_for_predecessors();
  RowScorer<kDim> scorer(a, rule, row);
  const RowPlan plan = plan_row(rule, out, row / rule.num_kv_heads);
  std::int32_t* selected = out.blocks + static_cast<std::int64_t>(row) * out.max_selected;
  write_fixed_blocks(plan, selected, out.counts + row);
  if (plan.k == 0) return;

  const int competing = plan.last - plan.first;
  scorer.run(competing, scores);
  __syncthreads();
  std::uint32_t keys[kPerThread];
#pragma unroll
  for (int j = 0; j < kPerThread; ++j) {
    const int position = key_position<kPerThread>(j);
    keys[j] = position < competing ? score_key(scores[position]) : 0U;
  }
  if (a.round_bf16) {
#pragma unroll
    for (std::uint32_t& key : keys) key &= 0xffff0000U;
    select_row<kPerThread, kThreads, 16>(keys, plan, 0.0F, selected);
  } else {
    select_row<kPerThread, kThreads, 32>(keys, plan, 0.0F, selected);
  }
}

template <int kDim, int kPerThread, int kThreads>
cudaError_t launch(const ScoreAndSelect& a, const SelectionRule& rule, const SelectionOutput& out,
                   cudaStream_t stream) {
  const auto kernel = score_and_select_kernel<kDim, kPerThread, kThreads>;
  const auto shared_bytes = static_cast<std::size_t>(a.max_blocks) * sizeof(float);
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (error != cudaSuccess) return error;
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
  if (a.max_blocks <= 2048 && few) return launch<kDim, 4, 512>(a, rule, out, stream);
  if (a.max_blocks <= 2048) return launch<kDim, 8, 256>(a, rule, out, stream);
  if (a.max_blocks <= 8192) return launch<kDim, 16, 512>(a, rule, out, stream);
  return launch<kDim, 64, 512>(a, rule, out, stream);
}

}  // namespace

cudaError_t score_and_select(const ScoreAndSelect& args, const SelectionRule& rule, const SelectionOutput& out,
                             cudaStream_t stream) {
  const bool pointers = args.q && args.centroids && args.pages;
  if (!pointers || !valid(rule, out, args.max_blocks)) return cudaErrorInvalidValue;
  if (args.num_q_heads <= 0 || args.num_q_heads % rule.num_kv_heads != 0) return cudaErrorInvalidValue;
  if (rule.num_requests == 0) return cudaSuccess;
  if (args.head_dim == 64) return launch_blocks<64>(args, rule, out, stream);
  if (args.head_dim == 128) return launch_blocks<128>(args, rule, out, stream);
  return cudaErrorNotSupported;
}

}  // namespace vortex::cuda
