#include <algorithm>

#include "kernels/cuda/attention_spread.h"
#include "kernels/cuda/decode_arguments.h"
#include "kernels/cuda/dispatch.cuh"
#include "kernels/cuda/sm90_decode_row.cuh"

namespace vortex::cuda {
namespace {

using namespace decode_row;

constexpr int kSharedBytes = 224 * 1024;  // of a thread block: so much that a multiprocessor has one
constexpr int kMaxGroup = 4;

struct SpreadArgs {
  DecodeAttention attention;
  int least_tiles = 1;
  int slots = 3;
  bool reads_ahead = false;
  std::int32_t* arrived = nullptr;  // [row], 0 between calls
  float* parts = nullptr;           // [thread block][2] of SharedPart
};

// What one thread block has of a row that it shares: floats of a place in SpreadArgs::parts. A thread block shares two
// rows at most: one that began before it, and one that begins in it.
template <int kDim, int kGroup>
struct SharedPart {
  static constexpr int kTops = kGroup * kDim;
  static constexpr int kDenominators = kTops + kGroup;
  static constexpr int kFloats = kDenominators + kGroup;
};

__host__ __device__ constexpr int part_place(int block, bool begins_in_block) {
  return 2 * block + (begins_in_block ? 1 : 0);
}

__device__ __forceinline__ int tiles_of_row(const DecodeAttention& a, int row) {
  const int length = a.table.lengths[row / a.kv.num_kv_heads];
  const int visited = a.selection.blocks != nullptr ? a.selection.counts[row] : ceil_div(length, a.kv.block);
  return ceil_div(tokens_visited(length, a.kv.block, visited), kTile);
}

// ends[row] becomes the tiles of all rows up to and with this one. Gives the tiles of all. By the whole thread block,
// after which all may read `ends`.
template <int kWarps>
__device__ __forceinline__ int lay_end_to_end(const DecodeAttention& a, int rows, int* ends, int (&warp_sums)[kWarps]) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  int before = 0;
  for (int base = 0; base < rows; base += kWarps * 32) {
    const int row = base + static_cast<int>(threadIdx.x);
    int inclusive = row < rows ? tiles_of_row(a, row) : 0;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int lower = __shfl_up_sync(kFullWarp, inclusive, offset);
      if (lane >= offset) { inclusive += lower; }
    }
    if (lane == 31) { warp_sums[warp] = inclusive; }
    __syncthreads();
    const int sum = lane < kWarps ? warp_sums[lane] : 0;
    const int lower_warps = __reduce_add_sync(kFullWarp, lane < warp ? sum : 0);
    if (row < rows) { ends[row] = before + lower_warps + inclusive; }
    before += __reduce_add_sync(kFullWarp, sum);
    __syncthreads();
  }
  return before;
}

// The row that has `tile`, one of them: the first that ends after it.
__device__ __forceinline__ int row_of(const int* ends, int rows, int tile) {
  int low = 0;
  int high = rows - 1;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (ends[middle] > tile) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

__device__ __forceinline__ int begin_of(const int* ends, int row) { return row > 0 ? ends[row - 1] : 0; }

// The tiles of one warp, in order, whatever rows they are of: where each lies in the pool. Lane i knows tile 32 * b + i
// of the current batch b; the next batch is fetched while the current one is in use.
class SpreadTiles {
 public:
  // Tiles first, first + step, ... before `end`. `row` is that of tile `first`, or of an earlier one.
  __device__ __forceinline__ SpreadTiles(const DecodeAttention& a, const int* ends, int row, int first, int step,
                                         int end)
      : a_(a),
        ends_(ends),
        row_(row),
        tile_(first + static_cast<int>(threadIdx.x % 32) * step),
        step_(step),
        end_(end),
        tiles_per_block_(a.kv.block / kTile) {
    next_ = fetch();
  }

  // The place of tile `index` of this warp, in tiles from the start of the pool; ~place where it is its row's last,
  // which has the newest token. Called with index 0, 1, 2, ...
  __device__ __forceinline__ std::int32_t at(int index) {
    if (index % 32 == 0) {
      current_ = next_;
      tile_ += 32 * step_;
      next_ = fetch();
    }
    return __shfl_sync(kFullWarp, current_, index % 32);
  }

 private:
  __device__ __forceinline__ std::int32_t fetch() {
    if (tile_ >= end_) { return 0; }
    while (ends_[row_] <= tile_) { ++row_; }
    const int of_row = tile_ - begin_of(ends_, row_);
    const int visited = of_row / tiles_per_block_;
    const int request = row_ / a_.kv.num_kv_heads;
    const int block = a_.selection.blocks != nullptr
                          ? a_.selection.blocks[static_cast<std::int64_t>(row_) * a_.selection.max_selected + visited]
                          : visited;
    const std::int32_t page = a_.table.pages[static_cast<std::int64_t>(request) * a_.table.max_blocks + block];
    const std::int32_t place =
        (page * a_.kv.num_kv_heads + row_ % a_.kv.num_kv_heads) * tiles_per_block_ + of_row % tiles_per_block_;
    return tile_ + 1 == ends_[row_] ? ~place : place;
  }

  const DecodeAttention& a_;
  const int* ends_;
  int row_;
  int tile_;
  int step_;
  int end_;
  int tiles_per_block_;
  std::int32_t current_ = 0;
  std::int32_t next_ = 0;
};

// Asks for a warp's tiles, K and V in turn, as far as its ring goes.
template <class T, int kDim>
class Loader {
 public:
  __device__ __forceinline__ Loader(const KvPool& kv, SpreadTiles tiles, TileRing<T, kDim> ring, int count)
      : kv_(kv), tiles_(tiles), ring_(ring), left_(2 * count) {}

  // The next one into the next slot, which all lanes must be done with. With `ahead` not of a row's last tile: false
  // where that is next, or nothing is.
  __device__ __forceinline__ bool fill(bool ahead) {
    if (left_ == 0) { return false; }
    if (!known_) {
      const std::int32_t place = tiles_.at(index_++);
      newest_ = place < 0;
      offset_ = static_cast<std::int64_t>(newest_ ? ~place : place) * TileRing<T, kDim>::kElements;
      known_ = true;
    }
    if (ahead && newest_) { return false; }
    const bool key = left_ % 2 == 0;
    ring_.fill(static_cast<const T*>(key ? kv_.k : kv_.v) + offset_);
    known_ = key;
    --left_;
    return true;
  }

  __device__ __forceinline__ const T* next() { return ring_.next(); }

 private:
  const KvPool& kv_;
  SpreadTiles tiles_;
  TileRing<T, kDim> ring_;
  int left_;  // K or V tiles not asked for
  int index_ = 0;
  bool known_ = false;
  bool newest_ = false;
  std::int64_t offset_ = 0;
};

__device__ __forceinline__ void write_element(const DecodeAttention& a, int row, int dim, int element, float top,
                                              float numerator, float denominator) {
  const std::int64_t first = static_cast<std::int64_t>(row) * (a.num_q_heads / a.kv.num_kv_heads);
  write_output(a, first, dim, element, top, numerator, denominator);
}

// Merges the warps of this thread block, in their order: into the row's output, or into `part` of a row it shares.
template <int kDim, int kGroup, int kWarps>
__device__ __forceinline__ void merge_warps(const DecodeAttention& a, int row, int heads, const float* sums_of_warps,
                                            const float (&maxima)[kWarps][kGroup], const float (&sums)[kWarps][kGroup],
                                            float* part) {
  using Part = SharedPart<kDim, kGroup>;
  for (int e = static_cast<int>(threadIdx.x); e < kDim * heads; e += kWarps * 32) {
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
        numerator = fmaf(weight, sums_of_warps[w * kGroup * kDim + e], numerator);
        denominator = fmaf(weight, sums[w][g], denominator);
      }
    }
    if (part == nullptr) {
      write_element(a, row, kDim, e, top, numerator, denominator);
      continue;
    }
    part[e] = numerator;
    if (e % kDim == 0) {
      part[Part::kTops + g] = top;
      part[Part::kDenominators + g] = denominator;
    }
  }
}

// Merges the thread blocks of a row, in their order. All of them have written; `scratch` is of shared memory, for
// 2 * kGroup floats a part.
template <int kDim, int kGroup, int kWarps>
__device__ __forceinline__ void merge_parts(const SpreadArgs& s, int row, int heads, const SpreadParts& parts,
                                            float* scratch) {
  using Part = SharedPart<kDim, kGroup>;
  constexpr int kAtOnce = 8;  // loads in flight
  const auto at = [&](int p) {
    return s.parts + static_cast<std::int64_t>(part_place(parts.first + p, p == 0)) * Part::kFloats;
  };
  float* tops = scratch;
  float* denominators = scratch + parts.count * kGroup;
  for (int i = static_cast<int>(threadIdx.x); i < parts.count * kGroup; i += kWarps * 32) {
    if (i % kGroup >= heads) { continue; }
    tops[i] = __ldcg(at(i / kGroup) + Part::kTops + i % kGroup);
    denominators[i] = __ldcg(at(i / kGroup) + Part::kDenominators + i % kGroup);
  }
  __syncthreads();
  for (int e = static_cast<int>(threadIdx.x); e < kDim * heads; e += kWarps * 32) {
    const int g = e / kDim;
    float top = negative_infinity();
    for (int p = 0; p < parts.count; ++p) { top = fmaxf(top, tops[p * kGroup + g]); }
    float numerator = 0.0F;
    float denominator = 0.0F;
    for (int first = 0; first < parts.count && top != negative_infinity(); first += kAtOnce) {
      float values[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) { values[i] = __ldcg(at(min(first + i, parts.count - 1)) + e); }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (first + i >= parts.count) { break; }
        const float weight = exp2_approx(tops[(first + i) * kGroup + g] - top);
        numerator = fmaf(weight, values[i], numerator);
        denominator = fmaf(weight, denominators[(first + i) * kGroup + g], denominator);
      }
    }
    write_element(s.attention, row, kDim, e, top, numerator, denominator);
  }
  __syncthreads();  // `scratch` is free again
}

// Rows without tiles are no thread block's: each takes its share of them all.
template <int kDim, int kThreads>
__device__ __forceinline__ void write_empty_rows(const DecodeAttention& a, const int* ends, int rows, int heads) {
  for (int row = static_cast<int>(blockIdx.x); row < rows; row += static_cast<int>(gridDim.x)) {
    if (ends[row] > begin_of(ends, row)) { continue; }
    for (int e = static_cast<int>(threadIdx.x); e < kDim * heads; e += kThreads) {
      write_element(a, row, kDim, e, negative_infinity(), 0.0F, 0.0F);
    }
  }
}

// Dynamic shared memory: the warps' rings, [warp][slot]; the warps' sums of one row, [warp][head][dim]; where each row
// ends.
template <class T, int kDim, int kGroup, int kWarps>
__global__ void __launch_bounds__(kWarps * 32, 1) spread_attention_kernel(const __grid_constant__ SpreadArgs s) {
  using Ring = TileRing<T, kDim>;
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t barriers[kWarps][kMaxSlots];
  __shared__ float maxima[kWarps][kGroup];
  __shared__ float sums[kWarps][kGroup];
  __shared__ int warp_totals[kWarps];
  __shared__ bool is_last;
  const DecodeAttention& a = s.attention;
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int rows = a.num_requests * a.kv.num_kv_heads;
  const int heads = a.num_q_heads / a.kv.num_kv_heads;
  T* ring_storage = reinterpret_cast<T*>(storage) + warp * s.slots * Ring::kElements;
  auto* sums_of_warps = reinterpret_cast<float*>(storage + kWarps * s.slots * Ring::kBytes);
  int* ends = reinterpret_cast<int*>(sums_of_warps + kWarps * kGroup * kDim);
  const bool ahead = s.reads_ahead && a.selection.blocks == nullptr;

  allow_successor();
  if (!ahead) { wait_for_predecessors(); }
  const int tiles = lay_end_to_end<kWarps>(a, rows, ends, warp_totals);
  const int chunk = spread_chunk(tiles, static_cast<int>(gridDim.x), s.least_tiles);
  const SpreadShare share = spread_share(static_cast<int>(blockIdx.x), tiles, chunk);
  const int first = share.begin + warp;
  const int count = share.end > first ? (share.end - first - 1) / kWarps + 1 : 0;
  int row = share.begin < share.end ? row_of(ends, rows, share.begin) : rows;
  Loader<T, kDim> loader(a.kv, SpreadTiles(a, ends, row, first, kWarps, share.end),
                         Ring(ring_storage, barriers[warp], s.slots), count);
  int filled = 0;
  if (ahead) {
    while (filled < s.slots && loader.fill(true)) { ++filled; }
    wait_for_predecessors();
  }
  for (; filled < s.slots; ++filled) { loader.fill(false); }
  write_empty_rows<kDim, kWarps * 32>(a, ends, rows, heads);

  WarpState<T, kDim, kGroup> state;
  int tile = first;
  for (; row < rows && begin_of(ends, row) < share.end; ++row) {
    const int begin = begin_of(ends, row);
    const int end = ends[row];
    if (end == begin) { continue; }
    const int stop = min(end, share.end);
    const int last_tokens = (a.table.lengths[row / a.kv.num_kv_heads] - 1) % kTile + 1;
    state.load_queries(a.q + static_cast<std::int64_t>(row) * heads * kDim, heads, a.scale * a.kv.k_scale * kLog2e,
                       lane);
    state.start();
    for (; tile < stop; tile += kWarps) {
      const int valid = tile + 1 == end ? last_tokens : kTile;
      float p[Shape<kDim, kGroup>::kHeads];
      const T* keys = loader.next();
      if (valid == kTile) {
        state.template score<false>(keys, valid, lane, p);
      } else {
        state.template score<true>(keys, valid, lane, p);
      }
      __syncwarp();
      loader.fill(false);
      state.soften(p);
      const T* values = loader.next();
      if (valid == kTile) {
        state.template accumulate<false>(values, valid, lane, p);
      } else {
        state.template accumulate<true>(values, valid, lane, p);
      }
      __syncwarp();
      loader.fill(false);
    }
    state.sum_up(lane).store(sums_of_warps + warp * kGroup * kDim, maxima[warp], sums[warp], lane);
    __syncthreads();

    const SpreadParts parts = spread_parts(begin, end, chunk);
    const auto block = static_cast<int>(blockIdx.x);
    float* part = nullptr;
    if (parts.count > 1) {
      part = s.parts +
             static_cast<std::int64_t>(part_place(block, block == parts.first)) * SharedPart<kDim, kGroup>::kFloats;
    }
    merge_warps<kDim, kGroup, kWarps>(a, row, heads, sums_of_warps, maxima, sums, part);
    if (part != nullptr) { __threadfence(); }
    __syncthreads();  // the warps' sums are free again, and this block's part is there for all to see
    if (part == nullptr) { continue; }
    if (threadIdx.x == 0) { is_last = atomicAdd(s.arrived + row, 1) + 1 == parts.count; }
    __syncthreads();
    if (!is_last) { continue; }
    __threadfence();
    merge_parts<kDim, kGroup, kWarps>(s, row, heads, parts, sums_of_warps);
    if (threadIdx.x == 0) { s.arrived[row] = 0; }
  }
}

template <class T, int kDim, int kGroup, int kWarps>
cudaError_t launch(SpreadArgs args, int blocks, cudaStream_t stream) {
  using Ring = TileRing<T, kDim>;
  static_assert(2 * kMaxSpreadBlocks * kGroup <= kWarps * kGroup * kDim, "merge_parts' scratch");
  const auto kernel = spread_attention_kernel<T, kDim, kGroup, kWarps>;
  constexpr int kSlotBytes = kWarps * static_cast<int>(Ring::kBytes);
  constexpr int kOtherBytes = static_cast<int>(sizeof(float)) * (kWarps * kGroup * kDim + kMaxSpreadRows);
  static_assert(kSharedBytes - kOtherBytes >= kSlotBytes);
  args.slots = std::min(kMaxSlots, (kSharedBytes - kOtherBytes) / kSlotBytes);
  const int shared_bytes = args.slots * kSlotBytes + kOtherBytes;
  const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (error != cudaSuccess) { return error; }
  return launch_early(kernel, dim3(static_cast<unsigned>(blocks)), kWarps * 32, static_cast<std::size_t>(shared_bytes),
                      stream, args);
}

template <class T, int kDim>
cudaError_t launch_group(const SpreadArgs& args, const SpreadSchedule& schedule, cudaStream_t stream) {
  const int group = args.attention.num_q_heads / args.attention.kv.num_kv_heads;
  if (group > 2) { return launch<T, kDim, kMaxGroup, 8>(args, schedule.blocks, stream); }
  if (schedule.warps == 8) {
    return group == 1 ? launch<T, kDim, 1, 8>(args, schedule.blocks, stream)
                      : launch<T, kDim, 2, 8>(args, schedule.blocks, stream);
  }
  return group == 1 ? launch<T, kDim, 1, 16>(args, schedule.blocks, stream)
                    : launch<T, kDim, 2, 16>(args, schedule.blocks, stream);
}

int floats_of_part(const DecodeAttention& a) {
  const int group = a.num_q_heads / a.kv.num_kv_heads;
  return (group <= 2 ? group : kMaxGroup) * (a.kv.head_dim + 2);
}

bool is_valid(const SpreadSchedule& s) {
  return s.blocks >= 1 && s.blocks <= kMaxSpreadBlocks && (s.warps == 8 || s.warps == 16) && s.least_tiles >= 1;
}

}  // namespace

bool spread_attention_supports(const DecodeAttention& args) {
  return args.kv.num_kv_heads > 0 && args.num_q_heads % args.kv.num_kv_heads == 0 &&
         args.num_q_heads / args.kv.num_kv_heads <= kMaxGroup &&
         args.num_requests * args.kv.num_kv_heads <= kMaxSpreadRows &&
         (args.kv.head_dim == 64 || args.kv.head_dim == 128) &&
         (args.kv.type == KvType::bf16 || args.kv.type == KvType::fp8_e4m3);
}

std::size_t spread_workspace_bytes(const DecodeAttention& args, const SpreadSchedule& schedule) {
  return sizeof(std::int32_t) * kMaxSpreadRows +
         sizeof(float) * 2 * static_cast<std::size_t>(schedule.blocks) * static_cast<std::size_t>(floats_of_part(args));
}

SpreadSchedule plan_spread_attention(int num_sms) {
  SpreadSchedule schedule;
  schedule.blocks = std::min(num_sms, kMaxSpreadBlocks);
  return schedule;
}

cudaError_t spread_attention(const DecodeAttention& args, const SpreadSchedule& schedule, void* workspace,
                             cudaStream_t stream) {
  if (workspace == nullptr || !are_valid(args) || !is_valid(schedule)) { return cudaErrorInvalidValue; }
  if (!spread_attention_supports(args)) { return cudaErrorNotSupported; }
  if (args.num_requests == 0) { return cudaSuccess; }
  SpreadArgs s;
  s.attention = args;
  s.least_tiles = schedule.least_tiles;
  s.reads_ahead = schedule.reads_ahead;
  s.arrived = static_cast<std::int32_t*>(workspace);
  s.parts = reinterpret_cast<float*>(s.arrived + kMaxSpreadRows);
  const auto any = [&]<class T>() {
    return dispatch_head_dim<T>(args.kv.head_dim,
                                [&]<class, int kDim>() { return launch_group<T, kDim>(s, schedule, stream); });
  };
  return args.kv.type == KvType::bf16 ? any.template operator()<Bf16>() : any.template operator()<__nv_fp8_e4m3>();
}

}  // namespace vortex::cuda
