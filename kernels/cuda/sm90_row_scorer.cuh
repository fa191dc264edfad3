// Scores of a row's blocks: the mean query of the group by the centroids of pages. Shared by the kernel that selects
// and the one that attends as well.
#pragma once

#include "kernels/cuda/select.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {

// A row's scores. A warp takes kUnit blocks at a time, from place `first` of those that compete and every `step`
// places: kDim / 8 lanes share a centroid, and the sums are scattered so that each lane ends with one block's score, or
// two with the same.
template <int kDim, int kUnit = 32>
class RowScorer {
 public:
  // Starts on what the kernels before this one leave alone: the table, and the centroids of the blocks that compete.
  __device__ __forceinline__ RowScorer(const ScoreAndSelect& a, const SelectionRule& rule, const RowPlan& plan, int row,
                                       int first, int step)
      : a_(a),
        centroids_(a.centroids + row % rule.num_kv_heads * kDim + lane() % kLanes * 8),
        page_size_(rule.num_kv_heads * kDim),
        competing_(plan.last - plan.first),
        pages_(a.pages + static_cast<std::int64_t>(row / rule.num_kv_heads) * a.max_blocks + plan.first),
        start_(first),
        step_(step),
        page_(fetch_page(start_)),
        next_page_(fetch_page(start_ + step_)) {
    if (start_ < competing_) { fetch(page_, 0); }
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

  // Calls keep(place, key) for every competing block of this warp.
  template <class Keep>
  __device__ __forceinline__ void run(Keep keep) {
    while (start_ < competing_) {
#pragma unroll
      for (int from = 0; from < kLoads; from += kBatch) {
        float dots[kBatch];
        multiply(dots);
        reduce_scatter<kBatch, kLanes>(dots, lane());
        if (from + kBatch < kLoads) {
          fetch(page_, from + kBatch);
        } else if (start_ + step_ < competing_) {
          fetch(next_page_, 0);
        }
        const int scored = start_ + (from + lane() % kLanes / kShare) * kPerLoad + lane() / kLanes;
        if (lane() % kShare == 0 && scored < competing_) { keep(scored, key_of(dots[0])); }
      }
      start_ += step_;
      page_ = next_page_;
      next_page_ = fetch_page(start_ + step_);
    }
  }

 private:
  static constexpr int kLanes = kDim / 8;
  static constexpr int kPerLoad = 32 / kLanes;
  static constexpr int kBatch = 8;                // centroids in flight per lane
  static constexpr int kShare = kLanes / kBatch;  // lanes that end with the same score
  static constexpr int kLoads = kUnit / kPerLoad;
  static_assert(kLoads % kBatch == 0 && kUnit <= 32);

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ __forceinline__ std::uint32_t key_of(float score) const {
    return a_.round_bf16 ? score_key(__bfloat162float(__float2bfloat16_rn(score))) & 0xffff0000U : score_key(score);
  }

  // The page of this lane's block of the unit at `start`; past the last of them any page that exists: its score is not
  // kept.
  __device__ __forceinline__ int fetch_page(int start) const {
    return competing_ > 0 ? pages_[min(start + lane() % kUnit, competing_ - 1)] : 0;
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
  int start_;
  int step_;
  int page_;
  int next_page_;
  uint4 fetched_[kBatch];
  float q_[8] = {};
};

}  // namespace vortex::cuda
