// Causal attention of a prompt, for the instruction set that the including file is compiled for.
#pragma once

#include "kernels/cpu/gemm_impl.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/prefill_tile.h"

namespace vortex::cpu {
namespace {

// State of one tile of queries. Fits the second-level cache.
struct QueryTile {
  alignas(64) float q[kPrefillTileRows * kMaxPrefillHeadDim];
  alignas(64) float scores[kPrefillTileRows * kKeyTile];
  alignas(64) float values[kKeyTile * kMaxPrefillHeadDim];
  TileSums sums;
};

inline float widened(Bf16 value) { return bf16_to_float(value); }
inline float widened(float value) { return value; }

// One panel of `count` keys.
template <typename T>
inline void pack_panel(const T* keys, int count, int head_dim, float* packed) {
  for (int d = 0; d < head_dim; ++d) {
    for (int lane = 0; lane < kLanes; ++lane) {
      packed[d * kLanes + lane] = lane < count ? widened(keys[lane * head_dim + d]) : 0.0F;
    }
  }
}

void pack_keys(const PrefillAttentionArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t panels = (args.tokens + kLanes - 1) / kLanes;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t first = item % panels * kLanes;
    const std::int64_t from = (item / panels * args.tokens + first) * args.head_dim;
    float* packed = args.scratch + item * kLanes * args.head_dim;
    const int count = args.tokens - first < kLanes ? static_cast<int>(args.tokens - first) : kLanes;
    if (args.wide_k != nullptr) {
      pack_panel(args.wide_k + from, count, args.head_dim, packed);
    } else {
      pack_panel(args.k + from, count, args.head_dim, packed);
    }
  }
}

// Turns a row of `keys` scores into weights under the running peak.
inline void update_row(QueryTile& tile, int row, int keys, int head_dim) {
  float* scores = tile.scores + row * kKeyTile;
  Lanes highest = load(scores);
  for (int j = kLanes; j < keys; j += kLanes) { highest = maximum(highest, load(scores + j)); }
  float lanes[kLanes];
  store(lanes, highest);
  float peak = tile.sums.peak[row];
  for (float lane : lanes) { peak = lane > peak ? lane : peak; }
  Lanes total = splat(0.0F);
  for (int j = 0; j < keys; j += kLanes) {
    const Lanes weight = exponential(load(scores + j) - splat(peak));
    store(scores + j, weight);
    total = total + weight;
  }
  set_peak(tile.sums, row, peak, head_dim);
  tile.sums.total[row] += sum(total);
}

// Attends the keys [first, first + keys), keys a multiple of 16; those after a query's own position are masked.
inline void attend_keys(const QueryRows& rows, QueryTile& tile, int kv_head, int first, int keys) {
  const PrefillAttentionArgs& args = rows.args;
  const int dim = args.head_dim;
  const std::int64_t panels = (args.tokens + kLanes - 1) / kLanes;
  const float* packed = args.scratch + (kv_head * panels + first / kLanes) * kLanes * dim;
  for (int j = 0; j < keys; j += kLanes) {
    tile_column(rows.count, tile.q, dim, packed + static_cast<std::int64_t>(j) * dim, kLanes, dim, tile.scores + j,
                kKeyTile, false);
  }
  for (int row = 0; row < rows.count; ++row) {
    mask_later_keys(rows, row, first, keys, tile.scores + row * kKeyTile);
    update_row(tile, row, keys, dim);
  }
  const int stored = args.tokens - first < keys ? args.tokens - first : keys;
  const std::int64_t from = (static_cast<std::int64_t>(kv_head) * args.tokens + first) * dim;
  for (int i = 0; i < stored * dim; i += kLanes) {
    store(tile.values + i, args.wide_v != nullptr ? load(args.wide_v + from + i) : load_bf16(args.v + from + i));
  }
  for (int d = 0; d < dim; d += kLanes) {
    tile_column(rows.count, tile.scores, kKeyTile, tile.values + d, dim, stored, tile.sums.out + d, dim, true);
  }
}

void attend(const PrefillAttentionArgs& args, int kv_head, int token_begin, int token_end) {
  QueryTile tile;
  const QueryRows rows(args, kv_head, token_begin, token_end);
  const int dim = args.head_dim;
  for (int row = 0; row < rows.count; ++row) {
    const float* q = args.q + rows.at(row);
    for (int d = 0; d < dim; d += kLanes) { store(tile.q + row * dim + d, load(q + d) * splat(args.scale)); }
    clear_row(tile.sums, row, dim);
  }
  for (int first = 0; first < token_end; first += kKeyTile) {
    const int left = (token_end - first + kLanes - 1) / kLanes * kLanes;
    attend_keys(rows, tile, kv_head, first, left < kKeyTile ? left : kKeyTile);
  }
  store_rows(rows, tile.sums);
}

}  // namespace
}  // namespace vortex::cpu
