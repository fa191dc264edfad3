#include "kernels/cuda/select_attend.h"
#include "kernels/cuda/sm90_decode_row.cuh"
#include "kernels/cuda/sm90_row_scorer.cuh"

namespace vortex::cuda {
namespace {

using namespace decode_row;

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kSlots = 3;  // tiles of a warp's ring
constexpr int kMaxRanks = 8;

// Blocks that a warp scores at a time: what it can ask for before it waits.
template <int kDim>
inline constexpr int kUnit = kDim == 128 ? 16 : 32;

// What one thread block of a row has, when its warps are merged.
template <int kDim, int kGroup>
struct BlockSums {
  float values[kGroup * kDim];
  float tops[kGroup];
  float denominators[kGroup];
};

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

__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// What this thread did to shared memory comes before what the copy engine does to it after the next barrier.
__device__ __forceinline__ void fence_for_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void write_output(const DecodeAttention& a, std::int64_t first_q_head, int dim, int element,
                                             float top, float numerator, float denominator) {
  const float inverse = denominator > 0.0F ? a.kv.v_scale / denominator : 0.0F;
  a.out[first_q_head * dim + element] = __float2bfloat16_rn(numerator * inverse);
  if (a.lse != nullptr && element % dim == 0) {
    a.lse[first_q_head + element / dim] =
        denominator > 0.0F ? (top + __log2f(denominator)) * kLn2 : negative_infinity();
  }
}

// Merges the warps of this thread block, in order: into `merged`, or out, where it has the row alone.
template <int kDim, int kGroup>
__device__ __forceinline__ void merge_warps(const DecodeAttention& a, const float* partials, int partial_stride,
                                            const float (&maxima)[kWarps][kGroup], const float (&sums)[kWarps][kGroup],
                                            std::int64_t first_q_head, int heads, bool alone,
                                            BlockSums<kDim, kGroup>& merged) {
  for (int e = static_cast<int>(threadIdx.x); e < kDim * heads; e += kThreads) {
    const int g = e / kDim;
    float top = negative_infinity();
#pragma unroll
    for (int w = 0; w < kWarps; ++w) { top = fmaxf(top, maxima[w][g]); }
    float numerator = 0.0F;
    float denominator = 0.0F;
    if (top != negative_infinity()) {
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float weight = exp2_approx(maxima[w][g] - top);
        numerator = fmaf(weight, partials[w * partial_stride + e], numerator);
        denominator = fmaf(weight, sums[w][g], denominator);
      }
    }
    if (alone) {
      write_output(a, first_q_head, kDim, e, top, numerator, denominator);
      continue;
    }
    merged.values[e] = numerator;
    if (e % kDim == 0) {
      merged.tops[g] = top;
      merged.denominators[g] = denominator;
    }
  }
}

// Merges the thread blocks of a cluster, in order; each writes its share of the row.
template <int kDim, int kGroup>
__device__ __forceinline__ void merge_blocks(const DecodeAttention& a, std::int64_t first_q_head, int heads,
                                             const BlockSums<kDim, kGroup>& merged) {
  const auto ranks = static_cast<int>(cluster_size());
  const int share = kDim * heads / ranks;
  for (int i = static_cast<int>(threadIdx.x); i < share; i += kThreads) {
    const int e = static_cast<int>(cluster_rank()) * share + i;
    const int g = e / kDim;
    float tops[kMaxRanks];
    float values[kMaxRanks];
    float denominators[kMaxRanks];
#pragma unroll
    for (int r = 0; r < kMaxRanks; ++r) {
      const auto rank = static_cast<unsigned>(min(r, ranks - 1));
      tops[r] = load_from_rank(&merged.tops[g], rank);
      values[r] = load_from_rank(&merged.values[e], rank);
      denominators[r] = load_from_rank(&merged.denominators[g], rank);
    }
    float top = tops[0];
#pragma unroll
    for (int r = 1; r < kMaxRanks; ++r) { top = fmaxf(top, tops[r]); }
    float numerator = 0.0F;
    float denominator = 0.0F;
#pragma unroll
    for (int r = 0; r < kMaxRanks; ++r) {
      const float weight = r < ranks && top != negative_infinity() ? exp2_approx(tops[r] - top) : 0.0F;
      numerator = fmaf(weight, values[r], numerator);
      denominator = fmaf(weight, denominators[r], denominator);
    }
    write_output(a, first_q_head, kDim, e, top, numerator, denominator);
  }
}

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
__global__ void __launch_bounds__(kThreads, kGroup == 2 ? 2 : 1) select_and_attend_kernel(const SelectAndAttend s) {
  using Ring = TileRing<T, kDim>;
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t barriers[kWarps][kSlots];
  __shared__ float maxima[kWarps][kGroup];
  __shared__ float sums[kWarps][kGroup];
  __shared__ BlockSums<kDim, kGroup> merged;
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
  cluster_barrier();
  choose(s, plan, row, keys, digits, chosen);
  fence_for_copies();
  cluster_barrier();

  const WarpShare share(tokens_visited(length, a.kv.block, plan.selected), rank * kWarps + warp, ranks * kWarps);
  const std::int64_t first_q_head = static_cast<std::int64_t>(row) * group;
  attend_share<T, kDim, kGroup>(
      a, share, TileList(a, chosen, request, row % a.kv.num_kv_heads, share.tiles(), share.first, share.step), ring,
      ring_storage, kSlots, a.q + first_q_head * kDim, group, maxima[warp], sums[warp]);
  __syncthreads();
  constexpr int kPartialStride = kSlots * static_cast<int>(Ring::kBytes / sizeof(float));
  merge_warps<kDim, kGroup>(a, reinterpret_cast<const float*>(storage), kPartialStride, maxima, sums, first_q_head,
                            group, ranks == 1, merged);
  if (ranks == 1) { return; }
  cluster_barrier();
  merge_blocks<kDim, kGroup>(a, first_q_head, group, merged);
  cluster_barrier();  // a block must not leave while others read its sums
}

template <class T, int kDim>
constexpr int ring_bytes() {
  return kWarps * kSlots * static_cast<int>(TileRing<T, kDim>::kBytes);
}

template <class T, int kDim, int kGroup>
cudaError_t launch(const SelectAndAttend& s, int cluster, cudaStream_t stream) {
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
  return cudaLaunchKernelEx(&config, kernel, s);
}

template <class T, int kDim>
cudaError_t launch_group(const SelectAndAttend& s, int cluster, cudaStream_t stream) {
  const int group = s.attention.num_q_heads / s.attention.kv.num_kv_heads;
  return group == 2 ? launch<T, kDim, 2>(s, cluster, stream) : launch<T, kDim, 4>(s, cluster, stream);
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
  const int ranks = schedule.cluster;
  if (ranks != 1 && ranks != 2 && ranks != 4 && ranks != kMaxRanks) { return cudaErrorInvalidValue; }
  if (!select_and_attend_supports(s)) { return cudaErrorNotSupported; }
  if (s.rule.num_requests == 0) { return cudaSuccess; }
  const auto any = [&]<class T>() {
    return a.kv.head_dim == 64 ? launch_group<T, 64>(s, ranks, stream) : launch_group<T, 128>(s, ranks, stream);
  };
  return a.kv.type == KvType::bf16 ? any.template operator()<Bf16>() : any.template operator()<__nv_fp8_e4m3>();
}

}  // namespace vortex::cuda
