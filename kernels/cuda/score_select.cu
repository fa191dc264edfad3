#include "kernels/cuda/select.cuh"

namespace vortex::cuda {
namespace {

// Scores the competing blocks of one row into `scores`. A warp takes 32 blocks at a time: kDim / 8 lanes share a
// centroid, and the sums are scattered so that each lane ends with one block's score.
template <int kDim>
__device__ __forceinline__ void score_row(const ScoreAndSelect& a, const SelectionRule& rule, int row,
                                          const RowPlan& plan, float* scores) {
  constexpr int kLanes = kDim / 8;
  constexpr int kPerLoad = 32 / kLanes;
  constexpr int kBatch = 8;  // centroids in flight per lane
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warps = static_cast<int>(blockDim.x) / 32;
  const int request = row / rule.num_kv_heads;
  const int kv_head = row % rule.num_kv_heads;
  const int group = a.num_q_heads / rule.num_kv_heads;

  float q[8] = {};
  for (int g = 0; g < group; ++g) {
    float x[8];
    load8(a.q + (static_cast<std::int64_t>(row) * group + g) * kDim + lane % kLanes * 8, x);
#pragma unroll
    for (int d = 0; d < 8; ++d) q[d] += x[d];
  }
#pragma unroll
  for (int d = 0; d < 8; ++d) q[d] /= static_cast<float>(group);

  const std::int32_t* pages = a.pages + static_cast<std::int64_t>(request) * a.max_blocks + plan.first;
  const int competing = plan.last - plan.first;
  for (int start = warp * 32; start < competing; start += warps * 32) {
    const int page = pages[min(start + lane, competing - 1)];
    float dots[kLanes];
#pragma unroll
    for (int from = 0; from < kLanes; from += kBatch) {
      float x[kBatch][8];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int of_lane = __shfl_sync(kFullWarp, page, (from + i) * kPerLoad + lane / kLanes);
        const std::int64_t at = static_cast<std::int64_t>(of_lane) * rule.num_kv_heads + kv_head;
        load8(a.centroids + at * kDim + lane % kLanes * 8, x[i]);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        float dot = q[0] * x[i][0];
#pragma unroll
        for (int d = 1; d < 8; ++d) dot = fmaf(q[d], x[i][d], dot);
        dots[from + i] = dot;
      }
    }
    reduce_scatter<kLanes, kLanes>(dots, lane);
    const int position = start + lane % kLanes * kPerLoad + lane / kLanes;
    if (position < competing) {
      scores[position] = a.round_bf16 ? __bfloat162float(__float2bfloat16_rn(dots[0])) : dots[0];
    }
  }
}

template <int kDim, int kPerThread, int kThreads>
__global__ void __launch_bounds__(kThreads, kPerThread <= 16 ? 1024 / kThreads : 1)
    score_and_select_kernel(const ScoreAndSelect a, const SelectionRule rule, const SelectionOutput out) {
  extern __shared__ float scores[];
  const int row = static_cast<int>(blockIdx.x);
  const RowPlan plan = plan_row(rule, out, row / rule.num_kv_heads);
  std::int32_t* selected = out.blocks + static_cast<std::int64_t>(row) * out.max_selected;
  write_fixed_blocks(plan, selected, out.counts + row);
  if (plan.k == 0) return;

  score_row<kDim>(a, rule, row, plan, scores);
  __syncthreads();
  const int competing = plan.last - plan.first;
  std::uint32_t keys[kPerThread];
#pragma unroll
  for (int j = 0; j < kPerThread; ++j) {
    const int position = key_position<kPerThread>(j);
    keys[j] = position < competing ? score_key(scores[position]) : 0U;
  }
  select_row<kPerThread, kThreads, 32>(keys, plan, 0.0F, selected);
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
  kernel<<<rows, kThreads, shared_bytes, stream>>>(a, rule, out);
  return cudaGetLastError();
}

template <int kDim>
cudaError_t launch_blocks(const ScoreAndSelect& a, const SelectionRule& rule, const SelectionOutput& out,
                          cudaStream_t stream) {
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
