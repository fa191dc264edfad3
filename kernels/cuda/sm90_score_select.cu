#include "kernels/cuda/select.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

// A row's scores. A warp takes 32 blocks at a time: kDim / 8 lanes share a centroid, and the sums are scattered so that
// each lane ends with one block's score, or two with the same.
template <int kDim>
class RowScorer {
 public:
  // Starts on what the kernels before this one leave alone: the table, and the centroids of the blocks that compete.
  __device__ __forceinline__ RowScorer(const ScoreAndSelect& a, const SelectionRule& rule, const RowPlan& plan, int row)
      : a_(a),
        centroids_(a.centroids + row % rule.num_kv_heads * kDim + lane() % kLanes * 8),
        page_size_(rule.num_kv_heads * kDim),
        competing_(plan.last - plan.first),
        pages_(a.pages + static_cast<std::int64_t>(row / rule.num_kv_heads) * a.max_blocks + plan.first),
        position_(static_cast<int>(threadIdx.x)),
        page_(fetch_page(position_)),
        next_page_(fetch_page(position_ + static_cast<int>(blockDim.x))) {
    if (position_ - lane() < competing_) { fetch(page_, 0); }
  }

  // The mean query, this lane's dimensions.
  __device__ __forceinline__ void load_query(int row, int group) {
#pragma unroll 2
    for (int g = 0; g < group; ++g) {
      float x[8];
      load8(a_.q + (static_cast<std::int64_t>(row) * group + g) * kDim + lane() % kLanes * 8, x);
#pragma unroll
      for (int d = 0; d < 8; ++d) { q_[d] += x[d]; }
    }
#pragma unroll
    for (int d = 0; d < 8; ++d) { q_[d] /= static_cast<float>(group); }
  }

  // Keys of the competing blocks, from the first one on, and their leading digits.
  __device__ __forceinline__ void run(std::uint32_t* keys, Digits& digits) {
    while (position_ - lane() < competing_) {
      const int start = position_ - lane();
#pragma unroll
      for (int from = 0; from < kLanes; from += kBatch) {
        float dots[kBatch];
        multiply(dots);
        reduce_scatter<kBatch, kLanes>(dots, lane());
        if (from + kBatch < kLanes) {
          fetch(page_, from + kBatch);
        } else if (start + static_cast<int>(blockDim.x) < competing_) {
          fetch(next_page_, 0);
        }
        const int scored = start + (from + lane() % kLanes / kShare) * kPerLoad + lane() / kLanes;
        if (lane() % kShare == 0 && scored < competing_) {
          const std::uint32_t key = key_of(dots[0]);
          keys[scored] = key;
          digits.count_leading(key);
        }
      }
      position_ += static_cast<int>(blockDim.x);
      page_ = next_page_;
      next_page_ = fetch_page(position_ + static_cast<int>(blockDim.x));
    }
  }

 private:
  static constexpr int kLanes = kDim / 8;
  static constexpr int kPerLoad = 32 / kLanes;
  static constexpr int kBatch = 8;                // centroids in flight per lane
  static constexpr int kShare = kLanes / kBatch;  // lanes that end with the same score

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ __forceinline__ std::uint32_t key_of(float score) const {
    return a_.round_bf16 ? score_key(__bfloat162float(__float2bfloat16_rn(score))) & 0xffff0000U : score_key(score);
  }

  // The page of a competing block; past the last of them any page that exists: its score is not kept.
  __device__ __forceinline__ int fetch_page(int position) const {
    return competing_ > 0 ? pages_[min(position, competing_ - 1)] : 0;
  }

  // Starts loading this lane's share of blocks from ... from + kBatch - 1 of its group of lanes.
  __device__ __forceinline__ void fetch(int page, int from) {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int of_block = __shfl_sync(kFullWarp, page, (from + i) * kPerLoad + lane() / kLanes);
      fetched_[i] = load_once(centroids_ + static_cast<std::int64_t>(of_block) * page_size_, policy_);
    }
  }

  __device__ __forceinline__ void multiply(float (&dots)[kBatch]) const {
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      float x[8];
      unpack8(fetched_[i], x);
      float dot = q_[0] * x[0];
#pragma unroll
      for (int d = 1; d < 8; ++d) { dot = fmaf(q_[d], x[d], dot); }
      dots[i] = dot;
    }
  }

  const ScoreAndSelect& a_;
  std::uint64_t policy_ = evict_first_policy();
  const Bf16* centroids_;  // this lane's share of page 0
  int page_size_;
  int competing_;
  const std::int32_t* pages_;
  int position_;
  int page_;
  int next_page_;
  uint4 fetched_[kBatch];
  float q_[8] = {};
};

template <int kDim, int kThreads>
__global__ void __launch_bounds__(kThreads, 1024 / kThreads)
    score_and_select_kernel(const ScoreAndSelect a, const SelectionRule rule, const SelectionOutput out) {
  extern __shared__ std::uint32_t keys[];
  __shared__ Digits digits;
  const int row = static_cast<int>(blockIdx.x);
  allow_successor();
  const RowPlan plan = plan_row(rule, out, row / rule.num_kv_heads);
  clear<kThreads>(digits, kBins);
  RowScorer<kDim> scorer(a, rule, plan, row);
  __syncthreads();
  wait_for_predecessors();
  scorer.load_query(row, a.num_q_heads / rule.num_kv_heads);
  std::int32_t* selected = out.blocks + static_cast<std::int64_t>(row) * out.max_selected;
  write_fixed_blocks(plan, selected, out.counts + row);
  if (plan.k == 0) { return; }

  scorer.run(keys, digits);
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
