// The router of an expert layer: logits of every row, then the choice and the list that the products work off.
#include <type_traits>

#include "kernels/cuda/experts.h"
#include "kernels/cuda/router_choice.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kLogitRows = 8;  // that a warp multiplies with the weights that it has read
constexpr int kLineBytes = 128;

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % 32; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / 32; }

__device__ __forceinline__ void prefetch_line(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

// One warp for an expert and kRows rows. Each lane sums every 32nd group of 8 elements in ascending order, so that a
// logit's bits depend on its row alone.
template <int kRows>
__global__ void __launch_bounds__(kThreads) logits_kernel(const RouteExperts a) {
  const int expert = static_cast<int>(blockIdx.x) * kWarps + warp_id();
  const int first = static_cast<int>(blockIdx.y) * kRows;
  allow_successor();
  const float* weights = a.router + static_cast<std::int64_t>(expert) * a.hidden;
  if (expert < a.rule.experts) {
    for (int at = lane_id() * kLineBytes / 4; at < a.hidden; at += kLineBytes * 8) { prefetch_line(weights + at); }
  }
  wait_for_predecessors();
  if (expert >= a.rule.experts) { return; }
  float sums[kRows] = {};
#pragma unroll 2
  for (int at = lane_id() * 8; at < a.hidden; at += 256) {
    float w[8];
    load8(weights + at, w);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int row = min(first + r, a.rows - 1);
      float x[8];
      load8(a.x + static_cast<std::int64_t>(row) * a.hidden + at, x);
#pragma unroll
      for (int i = 0; i < 8; ++i) { sums[r] = fmaf(x[i], w[i], sums[r]); }
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const float sum = warp_sum(sums[r]);
    if (lane_id() == 0 && first + r < a.rows) {
      a.logits[static_cast<std::int64_t>(first + r) * a.rule.experts + expert] = sum;
    }
  }
}

// Sorts the chosen pairs by expert: each warp counts a stretch of them, so that their places follow from the counts.
class Sorter {
 public:
  struct Shared {
    int counts[kWarps][kMaxExperts];  // of a warp's stretch; then where its pairs of the expert go
    unsigned warp_totals[kWarps];
  };

  __device__ __forceinline__ Sorter(const RouteExperts& a, int tile_rows, Shared& shared)
      : a_(a), shared_(shared), tile_rows_(tile_rows), pairs_(a.rows * a.rule.chosen) {
    stretch_ = ceil_div(ceil_div(pairs_, kWarps), 32) * 32;
  }

  __device__ __forceinline__ void sort() {
    for (int i = static_cast<int>(threadIdx.x); i < kWarps * kMaxExperts; i += kThreads) {
      shared_.counts[i / kMaxExperts][i % kMaxExperts] = 0;
    }
    __syncthreads();
    go_through([](int, int) {});
    __syncthreads();
    unsigned before = 0;  // tiles and pairs of experts before, tiles in the upper half
    int touched = 0;
    for (int first = 0; first < a_.rule.experts; first += kThreads) { before = place_experts(first, before, touched); }
    if (threadIdx.x == 0) {
      *a_.plan.num_tiles = static_cast<int>(before >> 16);
      if (a_.touched != nullptr) { *a_.touched += static_cast<unsigned>(touched); }
    }
    __syncthreads();
    const int slots = a_.rule.chosen + (a_.shared ? 1 : 0);
    go_through([&](int i, int place) { a_.plan.order[place] = i / a_.rule.chosen * slots + i % a_.rule.chosen; });
  }

 private:
  // Calls take(pair, count before) for every pair that has an expert, and counts it.
  template <class Take>
  __device__ __forceinline__ void go_through(const Take& take) {
    int* counts = shared_.counts[warp_id()];
    const int begin = warp_id() * stretch_;
    for (int i = begin + lane_id(); i < begin + stretch_; i += 32) {
      const int expert = i < pairs_ ? __ldcg(a_.plan.experts + i) : -1;
      const unsigned same = __match_any_sync(kFullWarp, expert);
      const int rank = __popc(same & ((1U << lane_id()) - 1));
      const int count = expert >= 0 ? counts[expert] : 0;
      __syncwarp();
      if (expert >= 0) {
        take(i, count + rank);
        if (rank == 0) { counts[expert] = count + __popc(same); }
      }
      __syncwarp();
    }
  }

  // Experts [first, first + kThreads): turns their counts into places and writes their tiles. Gives what comes before
  // the next ones.
  __device__ __forceinline__ unsigned place_experts(int first, unsigned before, int& touched) {
    const int expert = first + static_cast<int>(threadIdx.x);
    const bool there = expert < a_.rule.experts;
    int rows = 0;
    for (int w = 0; there && w < kWarps; ++w) { rows += shared_.counts[w][expert]; }
    touched += __syncthreads_count(rows > 0);
    const unsigned mine = static_cast<unsigned>(ceil_div(rows, tile_rows_)) << 16 | static_cast<unsigned>(rows);
    unsigned sum = mine;  // of this lane and those before
    for (int offset = 1; offset < 32; offset *= 2) {
      const unsigned other = __shfl_up_sync(kFullWarp, sum, offset);
      if (lane_id() >= offset) { sum += other; }
    }
    if (lane_id() == 31) { shared_.warp_totals[warp_id()] = sum; }
    __syncthreads();
    unsigned total = before;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp_id()) { sum += shared_.warp_totals[w]; }
      total += shared_.warp_totals[w];
    }
    __syncthreads();  // the totals are read before the next ones are written
    if (there) { place_expert(expert, rows, before + sum - mine); }
    return total;
  }

  __device__ __forceinline__ void place_expert(int expert, int rows, unsigned before) {
    const int first = static_cast<int>(before & 0xffffU);
    int place = first;
    for (int w = 0; w < kWarps; ++w) {
      const int count = shared_.counts[w][expert];
      shared_.counts[w][expert] = place;
      place += count;
    }
    ExpertTile* tile = a_.plan.tiles + (before >> 16);
    for (int row = 0; row < rows; row += tile_rows_, ++tile) {
      tile->first = first + row;
      tile->expert = static_cast<std::uint16_t>(expert);
      tile->rows = static_cast<std::uint16_t>(min(tile_rows_, rows - row));
    }
  }

  const RouteExperts& a_;
  Shared& shared_;
  int tile_rows_;
  int pairs_;
  int stretch_;
};

// A warp chooses for a row; the last block to have done so makes the list.
template <int kPerLane>
__global__ void __launch_bounds__(kThreads) plan_kernel(const RouteExperts a, int tile_rows) {
  __shared__ union {
    float values[kWarps][kPerLane * 32];
    Sorter::Shared sorter;
  } shared;
  __shared__ bool last;
  allow_successor();
  wait_for_predecessors();
  const int row = static_cast<int>(blockIdx.x) * kWarps + warp_id();
  if (row < a.rows) {
    const std::int64_t at = static_cast<std::int64_t>(row) * a.rule.chosen;
    if (a.active != nullptr && a.active[row] == 0) {
      if (lane_id() < a.rule.chosen) {
        a.plan.experts[at + lane_id()] = -1;
        a.plan.weights[at + lane_id()] = 0.0F;
      }
    } else {
      choose_row<kPerLane>(a.rule, a.logits + static_cast<std::int64_t>(row) * a.rule.experts, shared.values[warp_id()],
                           a.plan.experts + at, a.plan.weights + at);
    }
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) { last = atomicAdd(a.arrived, 1U) == gridDim.x - 1; }
  __syncthreads();
  if (!last) { return; }
  if (threadIdx.x == 0) { *a.arrived = 0; }
  __threadfence();
  Sorter(a, tile_rows, shared.sorter).sort();
}

constexpr int kColumns = 4;  // of the sum, a thread

__global__ void __launch_bounds__(kThreads) combine_kernel(const CombineExperts a) {
  const int row = static_cast<int>(blockIdx.y);
  const int column = (static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x)) * kColumns;
  const int slots = a.chosen + (a.shared ? 1 : 0);
  allow_successor();
  wait_for_predecessors();
  if (column >= a.hidden) { return; }
  const bool active = a.active == nullptr || a.active[row] != 0;
  const float* answer = a.answers + static_cast<std::int64_t>(row) * slots * a.hidden + column;
  const float* weights = a.weights + static_cast<std::int64_t>(row) * a.chosen;
  float4 sum = make_float4(0.0F, 0.0F, 0.0F, 0.0F);
#pragma unroll 4
  for (int slot = 0; slot < slots && active; ++slot, answer += a.hidden) {
    const float weight = slot < a.chosen ? weights[slot] : 1.0F;
    const float4 x = *reinterpret_cast<const float4*>(answer);
    sum = make_float4(fmaf(weight, x.x, sum.x), fmaf(weight, x.y, sum.y), fmaf(weight, x.z, sum.z),
                      fmaf(weight, x.w, sum.w));
  }
  const __nv_bfloat162 low = __floats2bfloat162_rn(sum.x, sum.y);
  const __nv_bfloat162 high = __floats2bfloat162_rn(sum.z, sum.w);
  *reinterpret_cast<uint2*>(a.out + static_cast<std::int64_t>(row) * a.hidden + column) =
      make_uint2(*reinterpret_cast<const std::uint32_t*>(&low), *reinterpret_cast<const std::uint32_t*>(&high));
}

constexpr int kMaxGridY = 65535;

bool valid(const ExpertRule& rule) {
  return rule.experts > 0 && rule.chosen > 0 && rule.chosen <= rule.experts && rule.groups > 0 &&
         rule.experts % rule.groups == 0 && rule.kept_groups > 0 && rule.kept_groups <= rule.groups &&
         rule.chosen <= rule.experts / rule.groups * rule.kept_groups &&
         !(rule.groups > 1 && rule.two_a_group && rule.experts / rule.groups < 2);
}

bool supported(const RouteExperts& a) {
  return a.rule.experts <= kMaxExperts && a.rule.chosen <= kMaxChosen && a.rule.groups <= kMaxExpertGroups &&
         static_cast<std::int64_t>(a.rows) * a.rule.chosen <= kMaxRoutedPairs && a.hidden % 8 == 0;
}

bool valid(const RouteExperts& a) { return a.logits && a.rows >= 0 && a.rows <= kMaxGridY && valid(a.rule); }

}  // namespace

cudaError_t router_logits(const RouteExperts& args, cudaStream_t stream) {
  if (!args.x || !args.router || args.hidden <= 0 || !valid(args)) { return cudaErrorInvalidValue; }
  if (!supported(args)) { return cudaErrorNotSupported; }
  if (args.rows == 0) { return cudaSuccess; }
  const auto experts = static_cast<unsigned>(ceil_div(args.rule.experts, kWarps));
  if (args.rows == 1) { return launch_early(logits_kernel<1>, dim3(experts), kThreads, 0, stream, args); }
  const dim3 grid(experts, static_cast<unsigned>(ceil_div(args.rows, kLogitRows)));
  return launch_early(logits_kernel<kLogitRows>, grid, kThreads, 0, stream, args);
}

cudaError_t plan_experts(const RouteExperts& args, cudaStream_t stream) {
  const ExpertPlan& plan = args.plan;
  const bool outputs = plan.experts && plan.weights && plan.order && plan.tiles && plan.num_tiles && args.arrived;
  if (!outputs || args.rows < 1 || !valid(args)) { return cudaErrorInvalidValue; }
  if (!supported(args)) { return cudaErrorNotSupported; }
  const dim3 grid(static_cast<unsigned>(ceil_div(args.rows, kWarps)));
  const auto launch = [&](auto per_lane) {
    return launch_early(plan_kernel<decltype(per_lane)::value>, grid, kThreads, 0, stream, args,
                        expert_tile_rows(args.rows));
  };
  if (args.rule.experts <= 64) { return launch(std::integral_constant<int, 2>()); }
  if (args.rule.experts <= 128) { return launch(std::integral_constant<int, 4>()); }
  if (args.rule.experts <= 256) { return launch(std::integral_constant<int, 8>()); }
  return launch(std::integral_constant<int, kMaxExperts / 32>());
}

cudaError_t combine_experts(const CombineExperts& args, cudaStream_t stream) {
  const bool sizes = args.rows >= 0 && args.rows <= kMaxGridY && args.chosen > 0 && args.hidden > 0;
  if (!args.answers || !args.weights || !args.out || !sizes) { return cudaErrorInvalidValue; }
  if (args.hidden % kColumns != 0) { return cudaErrorNotSupported; }
  if (args.rows == 0) { return cudaSuccess; }
  const dim3 grid(static_cast<unsigned>(ceil_div(args.hidden, kThreads * kColumns)), static_cast<unsigned>(args.rows));
  return launch_early(combine_kernel, grid, kThreads, 0, stream, args);
}

}  // namespace vortex::cuda
