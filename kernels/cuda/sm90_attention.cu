#include <algorithm>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/decode_arguments.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/sm90_decode_row.cuh"

namespace vortex::cuda {
namespace {

using namespace decode_row;

template <class T, int kDim, int kGroup>
__global__ void __launch_bounds__(kMaxWarps * 32, kGroup <= 2 ? 2 : 1)
    decode_attention_kernel(const DecodeAttention a, int slots, int pieces) {
  using Ring = TileRing<T, kDim>;
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t barriers[kMaxWarps][kMaxSlots];
  __shared__ WarpStatistics<kGroup> own;
  __shared__ WarpStatistics<kGroup> merged;

  const int warp = static_cast<int>(threadIdx.x / 32);
  const auto warps = static_cast<int>(blockDim.x / 32);
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  const int unit = static_cast<int>(blockIdx.x / cluster_size());
  const int row = unit / parts_of(group);  // the parts of a row lie side by side: they share its tiles in L2
  const int first_head = unit % parts_of(group) * heads_of_part(group);
  const int heads = min(heads_of_part(group), group - first_head);
  const int request = row / a.kv.num_kv_heads;
  const int kv_head = row % a.kv.num_kv_heads;

  T* ring_storage = reinterpret_cast<T*>(storage) + warp * slots * Ring::kElements;
  Ring ring(ring_storage, barriers[warp], slots);
  allow_successor();
  const int length = a.table.lengths[request];
  wait_for_predecessors();
  const std::int32_t* selected = nullptr;
  int visited = ceil_div(length, a.kv.block);
  if (a.selection.blocks != nullptr) {
    selected = a.selection.blocks + static_cast<std::int64_t>(row) * a.selection.max_selected;
    visited = a.selection.counts[row];
  }
  const WarpShare share(tokens_visited(length, a.kv.block, visited), pieces, static_cast<int>(cluster_size()),
                        static_cast<int>(cluster_rank()), warps, warp);
  const std::int64_t first_q_head = static_cast<std::int64_t>(row) * group + first_head;
  attend_share<T, kDim, kGroup>(a, share, TileList(a, selected, request, kv_head, share), ring, ring_storage, slots,
                                a.q + first_q_head * kDim, heads, own.tops[warp], own.denominators[warp]);
  const int partial_stride = slots * static_cast<int>(Ring::kBytes / sizeof(float));
  merge_row<kDim, kGroup>(a, reinterpret_cast<float*>(storage), partial_stride, own, merged, warps, first_q_head,
                          heads);
}

constexpr int kMostRingBytes = 200 * 1024;  // of a thread block: rings of wide elements are shorter than planned

template <class T, int kDim, int kGroup>
cudaError_t launch(const DecodeAttention& a, const DecodeSchedule& schedule, cudaStream_t stream) {
  const auto kernel = decode_attention_kernel<T, kDim, kGroup>;
  constexpr int kSlotBytes = static_cast<int>(TileRing<T, kDim>::kBytes);
  const int slots = std::min(schedule.slots, kMostRingBytes / (schedule.warps * kSlotBytes));
  const int ring_bytes = slots * kSlotBytes;
  if (ring_bytes < kGroup * kDim * static_cast<int>(sizeof(float))) { return cudaErrorInvalidValue; }
  const int shared_bytes = schedule.warps * ring_bytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) { return error; }

  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(schedule.cluster), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;  // as launch_early()
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  const int parts = parts_of(a.num_q_heads / a.kv.num_kv_heads);
  config.gridDim = dim3(static_cast<unsigned>(a.num_requests * a.kv.num_kv_heads * parts * schedule.cluster));
  config.blockDim = dim3(static_cast<unsigned>(schedule.warps * 32));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, a, slots, schedule.pieces);
}

template <class T, int kDim>
cudaError_t launch_group(const DecodeAttention& a, const DecodeSchedule& schedule, cudaStream_t stream) {
  const int heads = heads_of_part(a.num_q_heads / a.kv.num_kv_heads);
  if (heads == 1) { return launch<T, kDim, 1>(a, schedule, stream); }
  if (heads == 2) { return launch<T, kDim, 2>(a, schedule, stream); }
  if (heads <= 4) { return launch<T, kDim, 4>(a, schedule, stream); }
  if (heads <= 6) { return launch<T, kDim, 6>(a, schedule, stream); }
  return launch<T, kDim, kMaxHeads>(a, schedule, stream);
}

bool is_valid(const DecodeSchedule& s) {
  return s.warps >= 1 && s.warps <= kMaxWarps && s.slots >= 2 && s.slots <= kMaxSlots &&
         pieces_fit(s.pieces, s.cluster);
}

}  // namespace

DecodeSchedule plan_decode_attention(int rows, int max_blocks_visited, int num_sms) {
  DecodeSchedule schedule;
  while (schedule.cluster < 8 && rows * schedule.cluster * 2 <= num_sms &&
         max_blocks_visited >= 4 * schedule.cluster * schedule.warps) {
    schedule.cluster *= 2;
  }
  // Then there are no more thread blocks than multiprocessors: of rings so long each has one, where an early launch
  // would find room for two on some and leave others without.
  constexpr int kSlotsOfOne = 6;
  if (schedule.cluster > 1) { schedule.slots = kSlotsOfOne; }
  return schedule;
}

cudaError_t decode_attention(const DecodeAttention& args, const DecodeSchedule& schedule, cudaStream_t stream) {
  if (!are_valid(args) || !is_valid(schedule)) { return cudaErrorInvalidValue; }
  if (args.num_requests == 0) { return cudaSuccess; }
  return dispatch(args.kv, [&]<class T, int kDim>() { return launch_group<T, kDim>(args, schedule, stream); });
}

}  // namespace vortex::cuda
