// The attention kernel of one row, included once per instruction set.
#pragma once

#include "kernels/cpu/attention_row.h"
#include "kernels/cpu/lanes.h"

namespace vortex::cpu {
namespace {

constexpr int kTile = 16;  // tokens taken together
constexpr int kHeads = 2;  // query heads that share a load

// Up to 16 consecutive attended tokens. A head dimension that is no multiple of 32 has its rest copied, zero-padded.
struct Tile {
  int tokens = 0;
  const Bf16* k[kTile];
  const Bf16* v[kTile];
};

struct Tails {
  Bf16 k[kTile][kAttentionChunk];
  Bf16 v[kTile][kAttentionChunk];
};

// Walks the attended tokens in order.
struct Cursor {
  int next_block = 0;  // index into the attended blocks
  int offset = 0;      // token within it
};

inline void next_tile(const AttentionRow& row, Cursor& cursor, Tile& tile) {
  const int last = (row.seq_len - 1) / row.block_size;
  tile.tokens = 0;
  while (tile.tokens < kTile && cursor.next_block < row.count) {
    const int block = row.blocks == nullptr ? cursor.next_block : row.blocks[cursor.next_block];
    const int length = block == last ? row.seq_len - last * row.block_size : row.block_size;
    const std::int64_t page = row.pages[block];
    const Bf16* k = row.k + page * row.k_page_stride + static_cast<std::int64_t>(cursor.offset) * row.head_dim;
    const Bf16* v = row.v + page * row.v_page_stride + static_cast<std::int64_t>(cursor.offset) * row.value_stride;
    const int room = kTile - tile.tokens;
    const int taken = length - cursor.offset < room ? length - cursor.offset : room;
    for (int t = tile.tokens; t < tile.tokens + taken; ++t) {
      tile.k[t] = k;
      tile.v[t] = v;
      k += row.head_dim;
      v += row.value_stride;
    }
    tile.tokens += taken;
    cursor.offset += taken;
    if (cursor.offset >= length) {
      cursor.offset = 0;
      ++cursor.next_block;
    }
  }
  for (int t = tile.tokens; t > 0 && t % 4 != 0; ++t) {
    tile.k[t] = tile.k[0];  // tokens are scored four at a time
  }
}

inline void copy_tails(const Bf16* const* tokens, int count, int dim, Bf16 (*tails)[kAttentionChunk]) {
  const int full = dim / kAttentionChunk * kAttentionChunk;
  for (int t = 0; t < count; ++t) {
    for (int i = 0; i < kAttentionChunk; ++i) { tails[t][i] = full + i < dim ? tokens[t][full + i] : Bf16{0}; }
  }
}

// Asks for four tokens of the next tile while this one is computed: pages are scattered, so the hardware cannot guess,
// and asking for a whole tile at once would stall on the number of outstanding misses.
inline void prefetch(const Tile& next, int first, int head_dim, int value_dim) {
  for (int t = first; t < first + 4 && t < next.tokens; ++t) {
    for (int i = 0; i < head_dim; i += 32) { __builtin_prefetch(next.k[t] + i); }
    for (int i = 0; i < value_dim; i += 32) { __builtin_prefetch(next.v[t] + i); }
  }
}

// Inputs and outputs of a head pair are kept with even and odd elements of each chunk apart, as load_bf16_pairs gives.
inline int split_place(int d) { return d / 32 * 32 + d % 2 * 16 + d % 32 / 2; }

struct Scorer {
  const float* q;  // of two heads, split_place order
  int q_stride;
  int head_dim;
};

// Both heads against one token: lane j sums elements 2j and 2j + 1 of every chunk in order.
inline Folded score_token(const Scorer& s, const Bf16* k, const Bf16* k_tail) {
  Lanes a = splat(0.0F);
  Lanes b = splat(0.0F);
  Lanes even;
  Lanes odd;
  const float* q = s.q;
  for (int c = 0; c < s.head_dim / kAttentionChunk; ++c, q += kAttentionChunk) {
    load_bf16_pairs(k + c * kAttentionChunk, even, odd);
    a = fma(load(q), even, a);
    b = fma(load(q + s.q_stride), even, b);
    a = fma(load(q + kLanes), odd, a);
    b = fma(load(q + s.q_stride + kLanes), odd, b);
  }
  if (s.head_dim % kAttentionChunk != 0) {
    load_bf16_pairs(k_tail, even, odd);
    a = fma(load(q), even, a);
    b = fma(load(q + s.q_stride), even, b);
    a = fma(load(q + kLanes), odd, a);
    b = fma(load(q + s.q_stride + kLanes), odd, b);
  }
  return fold(a, b);
}

// scores[h][t] = q_h . k_t for the tokens of a tile, four at a time; places past the last token are left arbitrary.
inline void score_tile(const Scorer& scorer, const Tile& tile, const Tile& next, const Tails& tails, int value_dim,
                       float (*scores)[kTile]) {
  for (int t = 0; t < tile.tokens; t += 4) {
    prefetch(next, t, scorer.head_dim, value_dim);
    Folded folded[4];
    folded[0] = score_token(scorer, tile.k[t], tails.k[t]);
    folded[1] = score_token(scorer, tile.k[t + 1], tails.k[t + 1]);
    folded[2] = score_token(scorer, tile.k[t + 2], tails.k[t + 2]);
    folded[3] = score_token(scorer, tile.k[t + 3], tails.k[t + 3]);
    sum_folded(folded, scores[0] + t, scores[1] + t);
  }
}

// Turns scores into weights relative to the running maximum; gives the factor that rescales what was summed before.
inline float absorb_scores(float* scores, int tokens, float* maximum_so_far, float* denominator) {
  for (int t = tokens; t < kTile; ++t) { scores[t] = -__builtin_inff(); }
  const Lanes s = load(scores);
  const float before = *maximum_so_far;
  const float tile_maximum = largest(s);
  const float now = tile_maximum > before ? tile_maximum : before;
  const Lanes weights = exponential(s - splat(now));
  store(scores, weights);
  float factor = 1.0F;
  if (now != before) {
    float lanes[kLanes];
    store(lanes, exponential(splat(before - now)));
    factor = lanes[0];
    *maximum_so_far = now;
  }
  store(denominator, fma(load(denominator), splat(factor), weights));
  return factor;
}

// acc_h = acc_h * factor_h + sum_t weight_h[t] v_t, tokens in order.
inline void add_values(const Tile& tile, const Tails& tails, int dim, const float (*weights)[kTile],
                       const float* factors, float* acc, int acc_stride) {
  const int full = dim / kAttentionChunk;
  const bool tail = dim % kAttentionChunk != 0;
  for (int c = 0; c < full + (tail ? 1 : 0); ++c) {
    float* pa = acc + c * kAttentionChunk;
    float* pb = pa + acc_stride;
    Lanes a_even = load(pa) * splat(factors[0]);
    Lanes a_odd = load(pa + kLanes) * splat(factors[0]);
    Lanes b_even = load(pb) * splat(factors[1]);
    Lanes b_odd = load(pb + kLanes) * splat(factors[1]);
    for (int t = 0; t < tile.tokens; ++t) {
      Lanes even;
      Lanes odd;
      load_bf16_pairs(c < full ? tile.v[t] + c * kAttentionChunk : tails.v[t], even, odd);
      const Lanes wa = splat(weights[0][t]);
      const Lanes wb = splat(weights[1][t]);
      a_even = fma(wa, even, a_even);
      a_odd = fma(wa, odd, a_odd);
      b_even = fma(wb, even, b_even);
      b_odd = fma(wb, odd, b_odd);
    }
    store(pa, a_even);
    store(pa + kLanes, a_odd);
    store(pb, b_even);
    store(pb + kLanes, b_odd);
  }
}

struct RowState {
  int heads;         // group rounded up to an even number; the extra head has q = 0
  int q_stride;      // padded head_dim
  int value_stride;  // padded value_dim
  float* q;
  float* acc;
  float* denominators;  // [head][16]
  float* maxima;        // [head]
};

inline RowState begin_row(const AttentionRow& row) {
  RowState s;
  s.heads = row.group + row.group % 2;
  s.q_stride = padded_dim(row.head_dim);
  s.value_stride = padded_dim(row.value_dim);
  s.q = row.scratch;
  s.acc = s.q + static_cast<std::int64_t>(s.heads) * s.q_stride;
  s.denominators = s.acc + static_cast<std::int64_t>(s.heads) * s.value_stride;
  s.maxima = s.denominators + s.heads * kTile;
  const std::int64_t zeroed = s.maxima - row.scratch;
  for (std::int64_t i = 0; i < zeroed; ++i) { row.scratch[i] = 0.0F; }
  for (int h = 0; h < row.group; ++h) {
    for (int d = 0; d < row.head_dim; ++d) {
      s.q[h * s.q_stride + split_place(d)] = row.q[h * row.head_dim + d] * row.scale;
    }
  }
  for (int h = 0; h < s.heads; ++h) { s.maxima[h] = -__builtin_inff(); }
  return s;
}

inline void end_row(const AttentionRow& row, const RowState& s) {
  for (int h = 0; h < row.group; ++h) {
    const float denominator = sum(load(s.denominators + h * kTile));
    for (int d = 0; d < row.value_dim; ++d) {
      row.out[h * row.value_dim + d] = s.acc[h * s.value_stride + split_place(d)] / denominator;
    }
  }
}

inline void attention_row(const AttentionRow& row) {
  const RowState s = begin_row(row);
  const bool k_tail = row.head_dim % kAttentionChunk != 0;
  const bool v_tail = row.value_dim % kAttentionChunk != 0;
  Tails tails;
  Tile tiles[2];
  const Tile no_tile = {};
  Cursor cursor;
  next_tile(row, cursor, tiles[0]);
  for (int current = 0; tiles[current].tokens > 0; current = 1 - current) {
    const Tile& tile = tiles[current];
    next_tile(row, cursor, tiles[1 - current]);
    if (k_tail) { copy_tails(tile.k, (tile.tokens + 3) / 4 * 4, row.head_dim, tails.k); }
    if (v_tail) { copy_tails(tile.v, tile.tokens, row.value_dim, tails.v); }
    for (int h = 0; h < s.heads; h += kHeads) {
      float weights[kHeads][kTile];
      float factors[kHeads];
      const Scorer scorer{s.q + h * s.q_stride, s.q_stride, row.head_dim};
      score_tile(scorer, tile, h == 0 ? tiles[1 - current] : no_tile, tails, row.value_dim, weights);
      for (int i = 0; i < kHeads; ++i) {
        factors[i] = absorb_scores(weights[i], tile.tokens, s.maxima + h + i, s.denominators + (h + i) * kTile);
      }
      add_values(tile, tails, row.value_dim, weights, factors, s.acc + h * s.value_stride, s.value_stride);
    }
  }
  end_row(row, s);
}

}  // namespace
}  // namespace vortex::cpu
