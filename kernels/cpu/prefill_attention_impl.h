// Causal attention of a prompt, for the instruction set that the including file is compiled for.
#pragma once

#include "kernels/cpu/gemm_impl.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/wide.h"

namespace vortex::cpu {
namespace {

constexpr int kKeyTile = 128;

// State of one tile of queries, row = query token * group + query head of the group. Fits the second-level cache.
struct QueryTile {
  alignas(64) float q[kPrefillTileRows * kMaxPrefillHeadDim];
  alignas(64) float out[kPrefillTileRows * kMaxPrefillHeadDim];
  alignas(64) float scores[kPrefillTileRows * kKeyTile];
  alignas(64) float values[kKeyTile * kMaxPrefillHeadDim];
  float peak[kPrefillTileRows];   // largest score so far
  float total[kPrefillTileRows];  // sum of exp(score - peak)
};

void pack_keys(const PrefillAttentionArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t panels = (args.tokens + kLanes - 1) / kLanes;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t first = item % panels * kLanes;
    const Bf16* keys = args.k + (item / panels * args.tokens + first) * args.head_dim;
    float* packed = args.scratch + item * kLanes * args.head_dim;
    const int count = args.tokens - first < kLanes ? static_cast<int>(args.tokens - first) : kLanes;
    for (int d = 0; d < args.head_dim; ++d) {
      for (int lane = 0; lane < kLanes; ++lane) {
        packed[d * kLanes + lane] = lane < count ? bf16_to_float(keys[lane * args.head_dim + d]) : 0.0F;
      }
    }
  }
}

// Turns a row of `keys` scores into weights under the running peak, and rescales what was summed before.
inline void update_row(QueryTile& tile_state, int row, int keys, int head_dim) {
  float* scores = tile_state.scores + row * kKeyTile;
  Lanes highest = load(scores);
  for (int j = kLanes; j < keys; j += kLanes) { highest = maximum(highest, load(scores + j)); }
  float lanes[kLanes];
  store(lanes, highest);
  float peak = tile_state.peak[row];
  for (float lane : lanes) { peak = lane > peak ? lane : peak; }
  Lanes total = splat(0.0F);
  for (int j = 0; j < keys; j += kLanes) {
    const Lanes weight = exponential(load(scores + j) - splat(peak));
    store(scores + j, weight);
    total = total + weight;
  }
  if (peak != tile_state.peak[row]) {
    float correction[kLanes];
    store(correction, exponential(splat(tile_state.peak[row] - peak)));
    tile_state.total[row] *= correction[0];
    float* out = tile_state.out + row * head_dim;
    for (int d = 0; d < head_dim; d += kLanes) { store(out + d, load(out + d) * splat(correction[0])); }
    tile_state.peak[row] = peak;
  }
  tile_state.total[row] += sum(total);
}

// Attends the keys [first, first + keys), keys a multiple of 16; those after a query's own position are masked.
inline void attend_keys(const PrefillAttentionArgs& args, QueryTile& tile_state, int kv_head, int first, int keys,
                        int token_begin, int rows) {
  const int dim = args.head_dim;
  const std::int64_t panels = (args.tokens + kLanes - 1) / kLanes;
  const float* packed = args.scratch + (kv_head * panels + first / kLanes) * kLanes * dim;
  for (int j = 0; j < keys; j += kLanes) {
    tile_column(rows, tile_state.q, dim, packed + static_cast<std::int64_t>(j) * dim, kLanes, dim,
                tile_state.scores + j, kKeyTile, false);
  }
  for (int row = 0; row < rows; ++row) {
    const int visible = token_begin + row / args.group + 1 - first;
    for (int j = visible > 0 ? visible : 0; j < keys; ++j) {
      tile_state.scores[row * kKeyTile + j] = -__builtin_inff();
    }
    update_row(tile_state, row, keys, dim);
  }
  const int stored = args.tokens - first < keys ? args.tokens - first : keys;
  const Bf16* values = args.v + (static_cast<std::int64_t>(kv_head) * args.tokens + first) * dim;
  for (int i = 0; i < stored * dim; i += kLanes) { store(tile_state.values + i, load_bf16(values + i)); }
  for (int d = 0; d < dim; d += kLanes) {
    tile_column(rows, tile_state.scores, kKeyTile, tile_state.values + d, dim, stored, tile_state.out + d, dim, true);
  }
}

void attend(const PrefillAttentionArgs& args, int kv_head, int token_begin, int token_end) {
  QueryTile tile_state;
  const int dim = args.head_dim;
  const int rows = (token_end - token_begin) * args.group;
  const std::int64_t token_stride = static_cast<std::int64_t>(args.kv_heads) * args.group * dim;
  const std::int64_t start = token_begin * token_stride + static_cast<std::int64_t>(kv_head) * args.group * dim;
  for (int row = 0; row < rows; ++row) {
    const float* q = args.q + start + row / args.group * token_stride + row % args.group * dim;
    for (int d = 0; d < dim; d += kLanes) {
      store(tile_state.q + row * dim + d, load(q + d) * splat(args.scale));
      store(tile_state.out + row * dim + d, splat(0.0F));
    }
    tile_state.peak[row] = -__builtin_inff();
    tile_state.total[row] = 0.0F;
  }
  for (int first = 0; first < token_end; first += kKeyTile) {
    const int left = (token_end - first + kLanes - 1) / kLanes * kLanes;
    attend_keys(args, tile_state, kv_head, first, left < kKeyTile ? left : kKeyTile, token_begin, rows);
  }
  for (int row = 0; row < rows; ++row) {
    float* out = args.out + start + row / args.group * token_stride + row % args.group * dim;
    const Lanes total = splat(tile_state.total[row]);
    for (int d = 0; d < dim; d += kLanes) { store(out + d, load(tile_state.out + row * dim + d) / total); }
  }
}

}  // namespace
}  // namespace vortex::cpu
