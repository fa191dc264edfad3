// In which order the thread blocks of a prompt's attention take their rows: those that run at the same time should read
// the same K and V, and the longest rows should start first.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace vortex::cuda {

// K and V that the thread blocks which run together read, at most: they are to stay in an L2 cache of 50 MB, of which
// each half keeps what its own multiprocessors read.
inline constexpr std::int64_t kPrefillL2Bytes = std::int64_t{32} << 20;

// KV heads that are taken together where each has `head_bytes` of K and V: as many as kPrefillL2Bytes hold, at least
// one.
inline int prefill_heads_together(std::int64_t head_bytes, int kv_heads) {
  const std::int64_t fit = head_bytes > 0 ? kPrefillL2Bytes / head_bytes : kv_heads;
  return static_cast<int>(fit < 1 ? 1 : fit < kv_heads ? fit : kv_heads);
}

struct PrefillPlace {
  int head = 0;  // query head
  int tile = 0;  // of rows
};

// What the thread block `index` of heads * tiles takes: `together` query heads after one another, each of them with all
// tiles of rows, the last tile, which sees the most tokens, first.
__host__ __device__ constexpr PrefillPlace prefill_place(int index, int heads, int tiles, int together) {
  const int section = index / (together * tiles);
  const int within = index - section * together * tiles;
  const int left = heads - section * together;
  const int width = left < together ? left : together;
  return {section * together + within % width, tiles - 1 - within / width};
}

}  // namespace vortex::cuda
