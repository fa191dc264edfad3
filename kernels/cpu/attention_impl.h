// The attention kernel of one row, included once per instruction set.
#pragma once

#include "kernels/cpu/attention_row.h"
#include "kernels/cpu/lanes.h"

namespace vortex::cpu {
namespace {

constexpr int kTile = 16;  // tokens taken together
// Query heads that share a load, as many as the registers hold the sums of.
#if defined(__AVX512F__)
constexpr int kHeads = 4;
#else
constexpr int kHeads = 2;
#endif

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
// and asking for a whole tile at once would stall on the number of outstanding misses. They are asked into the second
// level, which has more of those than the first. Inlined by force: GCC 12 takes a function that only prefetches for one
// without effects, and drops its calls.
__attribute__((always_inline)) inline void prefetch(const Tile& next, int first, int head_dim, int value_dim) {
  for (int t = first; t < first + 4 && t < next.tokens; ++t) {
    for (int i = 0; i < head_dim; i += 32) { __builtin_prefetch(next.k[t] + i, 0, 2); }
    for (int i = 0; i < value_dim; i += 32) { __builtin_prefetch(next.v[t] + i, 0, 2); }
  }
}

// Inputs and outputs of a head are kept with even and odd elements of each chunk apart, as load_bf16_pairs gives.
inline int split_place(int d) { return d / 32 * 32 + d % 2 * 16 + d % 32 / 2; }

struct Scorer {
  const float* q;  // of the heads, split_place order
  int q_stride;
  int head_dim;
};

// Adds one chunk of a token to the sums of all heads.
template <int heads>
inline void score_chunk(const float* q, int q_stride, const Bf16* k, Lanes (&sums)[static_cast<unsigned>(heads)]) {
  Lanes even;
  Lanes odd;
  load_bf16_pairs(k, even, odd);
#pragma GCC unroll 4
  for (int h = 0; h < heads; ++h) { sums[h] = fma(load(q + h * q_stride), even, sums[h]); }
#pragma GCC unroll 4
  for (int h = 0; h < heads; ++h) { sums[h] = fma(load(q + h * q_stride + kLanes), odd, sums[h]); }
}

// All heads against one token: lane j sums elements 2j and 2j + 1 of every chunk in order. folded[i] has heads 2i and
// 2i + 1; the last of an odd number of heads stands twice.
template <int heads>
inline void score_token(const Scorer& s, const Bf16* k, const Bf16* k_tail, Folded* folded) {
  Lanes sums[static_cast<unsigned>(heads)];
#pragma GCC unroll 4
  for (int h = 0; h < heads; ++h) { sums[h] = splat(0.0F); }
  const float* q = s.q;
  for (int c = 0; c < s.head_dim / kAttentionChunk; ++c, q += kAttentionChunk) {
    score_chunk<heads>(q, s.q_stride, k + c * kAttentionChunk, sums);
  }
  if (s.head_dim % kAttentionChunk != 0) { score_chunk<heads>(q, s.q_stride, k_tail, sums); }
#pragma GCC unroll 2
  for (int h = 0; h < heads; h += 2) { folded[h / 2] = fold(sums[h], sums[h + 1 < heads ? h + 1 : h]); }
}

// scores[h][t] = q_h . k_t for the tokens of a tile, four at a time; places past the last token are left arbitrary.
template <int heads>
inline void score_tile(const Scorer& scorer, const Tile& tile, const Tile& next, const Tails& tails, int value_dim,
                       float (*scores)[kTile]) {
  constexpr int kPairs = (heads + 1) / 2;
  for (int t = 0; t < tile.tokens; t += 4) {
    prefetch(next, t, scorer.head_dim, value_dim);
    Folded token[4][static_cast<unsigned>(kPairs)];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) { score_token<heads>(scorer, tile.k[t + i], tails.k[t + i], token[i]); }
#pragma GCC unroll 2
    for (int pair = 0; pair < kPairs; ++pair) {
      const Folded folded[4] = {token[0][pair], token[1][pair], token[2][pair], token[3][pair]};
      sum_folded(folded, scores[2 * pair] + t, scores[2 * pair + 1] + t);
    }
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
template <int heads>
inline void add_values(const Tile& tile, const Tails& tails, int dim, const float (*weights)[kTile],
                       const float* factors, float* acc, int acc_stride) {
  const int full = dim / kAttentionChunk;
  const bool tail = dim % kAttentionChunk != 0;
  for (int c = 0; c < full + (tail ? 1 : 0); ++c) {
    float* place = acc + c * kAttentionChunk;
    Lanes even_sums[static_cast<unsigned>(heads)];
    Lanes odd_sums[static_cast<unsigned>(heads)];
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) {
      even_sums[h] = load(place + h * acc_stride) * splat(factors[h]);
      odd_sums[h] = load(place + h * acc_stride + kLanes) * splat(factors[h]);
    }
    for (int t = 0; t < tile.tokens; ++t) {
      Lanes even;
      Lanes odd;
      load_bf16_pairs(c < full ? tile.v[t] + c * kAttentionChunk : tails.v[t], even, odd);
#pragma GCC unroll 4
      for (int h = 0; h < heads; ++h) {
        const Lanes weight = splat(weights[h][t]);
        even_sums[h] = fma(weight, even, even_sums[h]);
        odd_sums[h] = fma(weight, odd, odd_sums[h]);
      }
    }
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) {
      store(place + h * acc_stride, even_sums[h]);
      store(place + h * acc_stride + kLanes, odd_sums[h]);
    }
  }
}

struct RowState {
  int q_stride;      // padded head_dim
  int value_stride;  // padded value_dim
  float* q;
  float* acc;
  float* denominators;  // [head][16]
  float* maxima;        // [head]
};

inline RowState begin_row(const AttentionRow& row) {
  RowState s;
  s.q_stride = padded_dim(row.head_dim);
  s.value_stride = padded_dim(row.value_dim);
  s.q = row.scratch;
  s.acc = s.q + static_cast<std::int64_t>(row.group) * s.q_stride;
  s.denominators = s.acc + static_cast<std::int64_t>(row.group) * s.value_stride;
  s.maxima = s.denominators + row.group * kTile;
  const std::int64_t zeroed = s.maxima - row.scratch;
  for (std::int64_t i = 0; i < zeroed; ++i) { row.scratch[i] = 0.0F; }
  for (int h = 0; h < row.group; ++h) {
    for (int d = 0; d < row.head_dim; ++d) {
      s.q[h * s.q_stride + split_place(d)] = row.q[h * row.head_dim + d] * row.scale;
    }
  }
  for (int h = 0; h < row.group; ++h) { s.maxima[h] = -__builtin_inff(); }
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

// The tile for `heads` heads from `first` on.
template <int heads>
inline void attend_tile(const AttentionRow& row, const RowState& s, int first, const Tile& tile, const Tile& next,
                        const Tails& tails) {
  float weights[static_cast<unsigned>(heads + heads % 2)][kTile];
  float factors[static_cast<unsigned>(heads)];
  const Scorer scorer{s.q + first * s.q_stride, s.q_stride, row.head_dim};
  score_tile<heads>(scorer, tile, next, tails, row.value_dim, weights);
  for (int h = 0; h < heads; ++h) {
    factors[h] = absorb_scores(weights[h], tile.tokens, s.maxima + first + h, s.denominators + (first + h) * kTile);
  }
  add_values<heads>(tile, tails, row.value_dim, weights, factors, s.acc + first * s.value_stride, s.value_stride);
}

// The tile for all heads, kHeads at a time.
template <int heads = kHeads>
inline void attend_heads(const AttentionRow& row, const RowState& s, int first, const Tile& tile, const Tile& next,
                         const Tails& tails) {
  const Tile no_tile = {};
  for (; first + heads <= row.group; first += heads) {
    attend_tile<heads>(row, s, first, tile, first == 0 ? next : no_tile, tails);
  }
  if constexpr (heads > 1) {
    if (first < row.group) { attend_heads<heads - 1>(row, s, first, tile, next, tails); }
  }
}

inline void attention_row(const AttentionRow& row) {
  const RowState s = begin_row(row);
  const bool k_tail = row.head_dim % kAttentionChunk != 0;
  const bool v_tail = row.value_dim % kAttentionChunk != 0;
  Tails tails;
  Tile tiles[2];
  Cursor cursor;
  next_tile(row, cursor, tiles[0]);
  for (int current = 0; tiles[current].tokens > 0; current = 1 - current) {
    const Tile& tile = tiles[current];
    next_tile(row, cursor, tiles[1 - current]);
    if (k_tail) { copy_tails(tile.k, (tile.tokens + 3) / 4 * 4, row.head_dim, tails.k); }
    if (v_tail) { copy_tails(tile.v, tile.tokens, row.value_dim, tails.v); }
    attend_heads(row, s, 0, tile, tiles[1 - current], tails);
  }
  end_row(row, s);
}

}  // namespace
}  // namespace vortex::cpu
