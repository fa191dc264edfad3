#include "kernels/cuda/select_attend.h"
#include "kernels/cuda/sm90_decode_row.cuh"
#include "kernels/cuda/sm90_row_scorer.cuh"

namespace vortex::cuda {
namespace {

using namespace decode_row;

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kSlots = 3;  // tiles of a warp's ring

// Blocks that a warp scores at a time: what it can ask for before it waits.
template <int kDim>
inline constexpr int kUnit = kDim == 128 ? 16 : 32;

__device__ __forceinline__ std::uint32_t address_in_rank(const void* p, unsigned rank) {
  std::uint32_t remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared_address(p)), "r"(rank));
  return remote;
}

__device__ __forceinline__ void store_to_rank(void* p, unsigned rank, std::uint32_t value) {
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(address_in_rank(p, rank)), "r"(value) : "memory");
}

__device__ __forceinline__ void increment_in_rank(void* p, unsigned rank) {
  asm volatile("red.relaxed.cluster.shared::cluster.add.u32 [%0], 1;" ::"r"(address_in_rank(p, rank)) : "memory");
}

// What this thread did to shared memory comes before what the copy engine does to it after the next barrier.
__device__ __forceinline__ void fence_for_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// The blocks that the row attends to: to device memory, and to `chosen` of every thread block of the cluster. The keys
// of those that compete lie with the first block, which finds the largest.
__device__ __forceinline__ void choose(const SelectAndAttend& s, const RowPlan& plan, int row,
                                       const std::uint32_t* keys, Digits& digits, std::int32_t* chosen) {
  write_fixed_blocks(plan, chosen);
  if (cluster_rank() != 0) { return; }
  std::int32_t* out = s.out.blocks + static_cast<std::int64_t>(row) * s.out.max_selected;
  write_fixed_blocks(plan, out, s.out.counts + row);
  if (plan.k == 0) { return; }
  const unsigned ranks = cluster_size();
  select_largest<kThreads, 16>(keys, plan.last - plan.first, digits, true, plan.k, -1, [&](int rank, int position) {
    const int block = plan.first + position;
    out[plan.first + rank] = block;
    chosen[plan.first + rank] = block;
    for (unsigned r = 1; r < ranks; ++r) {
      store_to_rank(chosen + plan.first + rank, r, static_cast<std::uint32_t>(block));
    }
  });
}

// Dynamic shared memory: the warps' rings of tiles, whose place the keys have before; then what was chosen.
template <class T, int kDim, int kGroup>
__global__ void __launch_bounds__(kThreads, kGroup == 2 ? 2 : 1)
    select_and_attend_kernel(const SelectAndAttend s, int pieces) {
  using Ring = TileRing<T, kDim>;
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t barriers[kWarps][kSlots];
  __shared__ WarpStatistics<kGroup> own;
  __shared__ WarpStatistics<kGroup> merged;
  __shared__ Digits digits;
  const DecodeAttention& a = s.attention;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const auto ranks = static_cast<int>(cluster_size());
  const auto rank = static_cast<int>(cluster_rank());
  const int row = static_cast<int>(blockIdx.x) / ranks;
  const int request = row / a.kv.num_kv_heads;
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  auto* keys = reinterpret_cast<std::uint32_t*>(storage);
  auto* chosen = reinterpret_cast<std::int32_t*>(storage + kWarps * kSlots * Ring::kBytes);
  T* ring_storage = reinterpret_cast<T*>(storage) + warp * kSlots * Ring::kElements;

  allow_successor();
  const RowPlan plan = plan_row(s.rule, s.out, request);
  const int length = a.table.lengths[request];
  clear<kThreads>(digits, kBins);
  Ring ring(ring_storage, barriers[warp], kSlots);
  RowScorer<kDim, kUnit<kDim>> scorer(s.score, s.rule, plan, row, (rank * kWarps + warp) * kUnit<kDim>,
                                      ranks * kWarps * kUnit<kDim>);
  cluster_arrive();  // the digits are clear
  wait_for_predecessors();
  cluster_wait();
  if (plan.k > 0) {
    scorer.load_query(row, group);
    scorer.run([&](int place, std::uint32_t key) {
      if (ranks == 1) {
        keys[place] = key;
        digits.count_leading(key);
      } else {
        store_to_rank(keys + place, 0, key);
        increment_in_rank(digits.bins + (key >> (32 - kDigitBits)), 0);
      }
    });
  }
  const WarpShare share(tokens_visited(length, a.kv.block, plan.selected), pieces, ranks, rank, kWarps, warp);
  cluster_barrier();
  choose(s, plan, row, keys, digits, chosen);
  fence_for_copies();
  cluster_barrier();

  const std::int64_t first_q_head = static_cast<std::int64_t>(row) * group;
  attend_share<T, kDim, kGroup>(a, share, TileList(a, chosen, request, row % a.kv.num_kv_heads, share), ring,
                                ring_storage, kSlots, a.q + first_q_head * kDim, group, own.tops[warp],
                                own.denominators[warp]);
  constexpr int kPartialStride = kSlots * static_cast<int>(Ring::kBytes / sizeof(float));
  merge_row<kDim, kGroup>(a, reinterpret_cast<float*>(storage), kPartialStride, own, merged, kWarps, first_q_head,
                          group);
}

template <class T, int kDim>
constexpr int ring_bytes() {
  return kWarps * kSlots * static_cast<int>(TileRing<T, kDim>::kBytes);
}

template <class T, int kDim, int kGroup>
cudaError_t launch(const SelectAndAttend& s, const SelectAndAttendSchedule& schedule, cudaStream_t stream) {
  const int cluster = schedule.cluster;
  const auto kernel = select_and_attend_kernel<T, kDim, kGroup>;
  static_assert(kSlots * TileRing<T, kDim>::kBytes >= kGroup * kDim * sizeof(float));
  const int shared_bytes = ring_bytes<T, kDim>() + s.out.max_selected * static_cast<int>(sizeof(std::int32_t));
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) { return error; }
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(cluster), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;  // as launch_early()
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(s.rule.num_requests * s.rule.num_kv_heads * cluster));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, s, schedule.pieces);
}

template <class T, int kDim>
cudaError_t launch_group(const SelectAndAttend& s, const SelectAndAttendSchedule& schedule, cudaStream_t stream) {
  const int group = s.attention.num_q_heads / s.attention.kv.num_kv_heads;
  return group == 2 ? launch<T, kDim, 2>(s, schedule, stream) : launch<T, kDim, 4>(s, schedule, stream);
}

constexpr int kMostSelected = 2048;

// Of the tiles' place.
int ring_bytes_of(const KvPool& kv) { return kWarps * kSlots * kTile * kv.head_dim * kv_type_size(kv.type); }

}  // namespace

bool select_and_attend_supports(const SelectAndAttend& s) {
  const DecodeAttention& a = s.attention;
  if (a.kv.num_kv_heads <= 0 || a.num_q_heads % a.kv.num_kv_heads != 0) { return false; }
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  return (a.kv.type == KvType::bf16 || a.kv.type == KvType::fp8_e4m3) &&
         (a.kv.head_dim == 64 || a.kv.head_dim == 128) && group >= 2 && group <= 4 && s.score.round_bf16 &&
         s.out.max_selected <= kMostSelected &&
         key_bytes(s.score.max_blocks) <= static_cast<std::size_t>(ring_bytes_of(a.kv));
}

SelectAndAttendSchedule plan_select_and_attend(int rows, int num_sms) {
  SelectAndAttendSchedule schedule;
  while (schedule.cluster < kMaxRanks && rows * schedule.cluster * 2 <= num_sms) { schedule.cluster *= 2; }
  if (schedule.cluster == 1 && rows <= num_sms) { schedule.cluster = 2; }  // pairs are placed easily
  return schedule;
}

cudaError_t select_and_attend(const SelectAndAttend& s, const SelectAndAttendSchedule& schedule, cudaStream_t stream) {
  const DecodeAttention& a = s.attention;
  const bool pointers = s.score.q && s.score.centroids && s.score.pages && a.q && a.out && a.kv.k && a.kv.v &&
                        a.table.pages && a.table.lengths;
  if (!pointers || !valid(s.rule, s.out, s.score.max_blocks) || a.kv.block <= 0 || a.kv.block % kTile != 0 ||
      a.num_requests != s.rule.num_requests) {
    return cudaErrorInvalidValue;
  }
  if (!pieces_fit(schedule.pieces, schedule.cluster)) { return cudaErrorInvalidValue; }
  if (!select_and_attend_supports(s)) { return cudaErrorNotSupported; }
  if (s.rule.num_requests == 0) { return cudaSuccess; }
  const auto any = [&]<class T>() {
    return a.kv.head_dim == 64 ? launch_group<T, 64>(s, schedule, stream) : launch_group<T, 128>(s, schedule, stream);
  };
  return a.kv.type == KvType::bf16 ? any.template operator()<Bf16>() : any.template operator()<__nv_fp8_e4m3>();
}

}  // namespace vortex::cuda
