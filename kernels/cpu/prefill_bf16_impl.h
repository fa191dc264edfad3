// Causal attention of a prompt on a bfloat16 unit, as prefill_attention_impl.h does it in float32: queries and softmax
// weights are rounded to bfloat16 before they are multiplied, scores and sums are float32.
//
// Scratch, with T tokens rounded up to 32 and D = padded_depth(head_dim): K as [kv head][T / 16][D / 2][16 tokens][2],
// then V as [kv head][head_dim / 16][T / 2][16 elements][2 tokens]: both are panels of bf16_product.h.
#pragma once

#include "kernels/cpu/bf16_product.h"
#include "kernels/cpu/bf16_round.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/prefill_tile.h"

namespace vortex::cpu {
namespace {

// As QueryTile of prefill_attention_impl.h.
struct Bf16QueryTile {
  alignas(64) Bf16 q[kPrefillTileRows * kMaxPrefillHeadDim];
  alignas(64) Bf16 weights[kPrefillTileRows * kKeyTile];
  alignas(64) float scores[kPrefillTileRows * kKeyTile];
  TileSums sums;
};

// Where the panels of one kv head lie in the scratch.
struct PackedHead {
  PackedHead(const PrefillAttentionArgs& args, std::int64_t kv_head)
      : tokens(padded_depth(args.tokens)), depth(padded_depth(args.head_dim)) {
    auto* scratch = reinterpret_cast<Bf16*>(args.scratch);
    keys = scratch + kv_head * tokens * depth;
    values = scratch + args.kv_heads * tokens * depth + kv_head * tokens * args.head_dim;
  }
  std::int64_t tokens;  // padded
  int depth;            // of a key, padded
  Bf16* keys;
  Bf16* values;
};

// Keys [first, first + 32) of a head: every pair of elements of a token goes to its own row of the panel. Tokens from
// `count` on are zeros.
inline void pack_keys(const Bf16* k, int head_dim, int count, const PackedHead& to, std::int64_t first) {
  Bf16* keys = to.keys + first * to.depth;
  __builtin_memset(keys, 0, sizeof(Bf16) * static_cast<std::size_t>(kDepthStep * to.depth));
  for (int t = 0; t < count; ++t) {
    Bf16* token = keys + t / 16 * 16 * to.depth + t % 16 * 2;
    for (int d = 0; d < head_dim; d += 2) { __builtin_memcpy(token + d * 16, k + t * head_dim + d, 2 * sizeof(Bf16)); }
  }
}

// Values likewise: every two tokens are interleaved.
inline void pack_values(const Bf16* v, int head_dim, int count, const PackedHead& to, std::int64_t first) {
  static constexpr Bf16 kNone[kMaxPrefillHeadDim] = {};
  for (int t = 0; t < kDepthStep; t += 2) {
    const Bf16* even = t < count ? v + t * head_dim : kNone;
    const Bf16* odd = t + 1 < count ? v + (t + 1) * head_dim : kNone;
    for (int d = 0; d < head_dim; d += 16) {
      Bf16* pairs = to.values + d * to.tokens + (first + t) * 16;
      for (int i = 0; i < 16; ++i) {
        pairs[2 * i] = even[d + i];
        pairs[2 * i + 1] = odd[d + i];
      }
    }
  }
}

void pack_kv(const PrefillAttentionArgs& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t blocks = padded_depth(args.tokens) / kDepthStep;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t first = item % blocks * kDepthStep;
    const PackedHead to(args, item / blocks);
    const std::int64_t from = (item / blocks * args.tokens + first) * args.head_dim;
    const auto count = static_cast<int>(args.tokens - first < kDepthStep ? args.tokens - first : kDepthStep);
    pack_keys(args.k + from, args.head_dim, count, to, first);
    pack_values(args.v + from, args.head_dim, count, to, first);
  }
}

// e^x for x <= 0, as near as a value needs that is rounded to bfloat16: x = n ln 2 + r, Taylor terms of e^r up to r^4
// (|r| <= 0.35: less than 2^-14 is left out), exactly 0 below e^-87.
inline Lanes softmax_weight(Lanes x) {
  const Lanes lowest = splat(-87.0F);
  const Mask none = greater(lowest, x);
  const Lanes cut = select(none, lowest, x);
  const Lanes n = nearest_integer(cut * splat(1.44269504F));
  const Lanes r = fma(n, splat(-0.693147181F), cut);
  Lanes p = fma(splat(1.0F / 24.0F), r, splat(1.0F / 6.0F));
  p = fma(p, r, splat(0.5F));
  p = fma(p, r, splat(1.0F));
  p = fma(p, r, splat(1.0F));
  return select(none, splat(0.0F), p * power_of_two(n));
}

// Turns a row of `keys` scores into weights under the running peak.
inline void weigh_row(Bf16QueryTile& tile, int row, int keys, int head_dim) {
  const float* scores = tile.scores + row * kKeyTile;
  Bf16* weights = tile.weights + row * kKeyTile;
  Lanes highest = load(scores);
  for (int j = kLanes; j < keys; j += kLanes) {
    const Lanes next = load(scores + j);
    highest = select(greater(next, highest), next, highest);
  }
  const float tile_peak = largest(highest);
  const float before = tile.sums.peak[row];
  const float peak = tile_peak > before ? tile_peak : before;
  Lanes total = splat(0.0F);
  for (int j = 0; j < keys; j += kLanes) {
    const Lanes weight = softmax_weight(load(scores + j) - splat(peak));
    store_rounded(weights + j, weight);
    total = total + weight;
  }
  set_peak(tile.sums, row, peak, head_dim);
  tile.sums.total[row] += sum(total);
}

// Attends the keys [first, first + keys), keys a multiple of 32; those after a query's own position are masked.
template <typename Unit>
inline void attend_bf16_keys(const QueryRows& rows, const PackedHead& head, Bf16QueryTile& tile, int first, int keys) {
  const int dim = rows.args.head_dim;
  Bf16Product scores;
  scores.a = tile.q;
  scores.lda = head.depth;
  scores.rows = rows.count;
  scores.panels = head.keys + static_cast<std::int64_t>(first) * head.depth;
  scores.panel_stride = std::int64_t{16} * head.depth;
  scores.depth = head.depth;
  scores.c = tile.scores;
  scores.ldc = kKeyTile;
  scores.cols = keys;
  Unit::multiply(scores);
  for (int row = 0; row < rows.count; ++row) {
    mask_later_keys(rows, row, first, keys, tile.scores + row * kKeyTile);
    weigh_row(tile, row, keys, dim);
  }
  Bf16Product values;
  values.a = tile.weights;
  values.lda = kKeyTile;
  values.rows = rows.count;
  values.panels = head.values + std::int64_t{16} * first;
  values.panel_stride = 16 * head.tokens;
  values.depth = keys;
  values.c = tile.sums.out;
  values.ldc = dim;
  values.cols = dim;
  values.accumulate = true;
  Unit::multiply(values);
}

template <typename Unit>
void attend_bf16(const PrefillAttentionArgs& args, int kv_head, int token_begin, int token_end) {
  Bf16QueryTile tile;
  const PackedHead head(args, kv_head);
  const QueryRows rows(args, kv_head, token_begin, token_end);
  for (int row = 0; row < rows.count; ++row) {
    round_row(args.q + rows.at(row), args.head_dim, args.scale, head.depth, tile.q + row * head.depth);
    clear_row(tile.sums, row, args.head_dim);
  }
  Unit::begin();
  for (int first = 0; first < token_end; first += kKeyTile) {
    const int left = padded_depth(token_end - first);
    attend_bf16_keys<Unit>(rows, head, tile, first, left < kKeyTile ? left : kKeyTile);
  }
  Unit::end();
  store_rows(rows, tile.sums);
}

}  // namespace
}  // namespace vortex::cpu
