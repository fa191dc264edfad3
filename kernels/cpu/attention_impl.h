// The attention kernel of a few rows, included once per instruction set.
#pragma once

#include "kernels/cpu/attention_row.h"
#include "kernels/cpu/lanes.h"

namespace vortex::cpu {
namespace {

constexpr int kTile = kAttentionTile;
// Query heads that share a load, and tokens that share a load of their queries: as many as the registers hold the sums
// of.
#if defined(__AVX512F__)
constexpr int kHeads = 4;
constexpr int kScoredTogether = 4;
constexpr int chunks_together(int heads) { return heads <= 2 ? 4 : 2; }
#else
constexpr int kHeads = 2;
constexpr int kScoredTogether = 2;
constexpr int chunks_together(int heads) { return heads == 1 ? 2 : 1; }
#endif

// Up to 16 consecutive attended tokens. A head dimension that is no multiple of 32 has its rest copied, zero-padded.
struct Tile {
  int tokens = 0;
  const Bf16* k[kTile] = {};  // past the last token: anything that may be asked for in advance
  const Bf16* v[kTile] = {};
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

// Asks for a line of the next tile while the same line of this one is computed with: pages are scattered, so the
// hardware cannot guess, and asking for much at once would stall on the number of outstanding misses. It is asked into
// the second level, which has more of those than the first. Inlined by force: GCC 12 takes a function that only
// prefetches for one without effects, and drops its calls.
__attribute__((always_inline)) inline void prefetch(const Bf16* p) { __builtin_prefetch(p, 0, 2); }

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

// All heads against kScoredTogether tokens: lane j sums elements 2j and 2j + 1 of every chunk in order. Of token i,
// folded[i][p] has heads 2p and 2p + 1; the last of an odd number of heads stands twice.
template <int heads, int pairs>
inline void score_tokens(const Scorer& s, const Bf16* const* k, const Bf16* const* next_k,
                         const Bf16 (*k_tails)[kAttentionChunk], Folded (*folded)[static_cast<unsigned>(pairs)]) {
  Lanes sums[kScoredTogether][static_cast<unsigned>(heads)];
#pragma GCC unroll 4
  for (int i = 0; i < kScoredTogether; ++i) {
#pragma GCC unroll 4
    for (int h = 0; h < heads; ++h) { sums[i][h] = splat(0.0F); }
  }
  const float* q = s.q;
  for (int c = 0; c < s.head_dim / kAttentionChunk; ++c, q += kAttentionChunk) {
#pragma GCC unroll 4
    for (int i = 0; i < kScoredTogether; ++i) {
      prefetch(next_k[i] + c * kAttentionChunk);
      score_chunk<heads>(q, s.q_stride, k[i] + c * kAttentionChunk, sums[i]);
    }
  }
  if (s.head_dim % kAttentionChunk != 0) {
#pragma GCC unroll 4
    for (int i = 0; i < kScoredTogether; ++i) { score_chunk<heads>(q, s.q_stride, k_tails[i], sums[i]); }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kScoredTogether; ++i) {
#pragma GCC unroll 2
    for (int h = 0; h < heads; h += 2) { folded[i][h / 2] = fold(sums[i][h], sums[i][h + 1 < heads ? h + 1 : h]); }
  }
}

// scores[h][t] = q_h . k_t for the tokens of a tile, four at a time; places past the last token are left arbitrary.
template <int heads>
inline void score_tile(const Scorer& scorer, const Tile& tile, const Tile& next, const Tails& tails,
                       float (*scores)[kTile]) {
  constexpr int kPairs = (heads + 1) / 2;
  for (int t = 0; t < tile.tokens; t += 4) {
    Folded token[4][static_cast<unsigned>(kPairs)];
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += kScoredTogether) {
      score_tokens<heads, kPairs>(scorer, tile.k + t + i, next.k + t + i, tails.k + t + i, token + i);
    }
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

// acc_h = acc_h * factor_h + sum_t weight_h[t] v_t for `chunks` chunks of the values that begin at v[t] + first, tokens
// in order.
template <int heads, int chunks>
inline void add_chunks(const Bf16* const* v, const Bf16* const* next_v, int first, int tokens,
                       const float (*weights)[kTile], const float* factors, float* acc, int acc_stride) {
  constexpr auto kSums = static_cast<unsigned>(2 * chunks);
  Lanes sums[static_cast<unsigned>(heads)][kSums];
#pragma GCC unroll 4
  for (int h = 0; h < heads; ++h) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < kSums; ++i) { sums[h][i] = load(acc + h * acc_stride + i * kLanes) * splat(factors[h]); }
  }
  for (int t = 0; t < tokens; ++t) {
#pragma GCC unroll 4
    for (unsigned c = 0; c < kSums; c += 2) {
      Lanes even;
      Lanes odd;
      prefetch(next_v[t] + first + c * kLanes);
      load_bf16_pairs(v[t] + first + c * kLanes, even, odd);
#pragma GCC unroll 4
      for (int h = 0; h < heads; ++h) {
        const Lanes weight = splat(weights[h][t]);
        sums[h][c] = fma(weight, even, sums[h][c]);
        sums[h][c + 1] = fma(weight, odd, sums[h][c + 1]);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < heads; ++h) {
#pragma GCC unroll 8
    for (unsigned i = 0; i < kSums; ++i) { store(acc + h * acc_stride + i * kLanes, sums[h][i]); }
  }
}

// add_chunks() for all whole chunks from c on, at most `chunks` at a time.
template <int heads, int chunks = chunks_together(heads)>
inline void add_whole_chunks(const Tile& tile, const Tile& next, int c, int end, const float (*weights)[kTile],
                             const float* factors, float* acc, int acc_stride) {
  for (; c + chunks <= end; c += chunks) {
    const int first = c * kAttentionChunk;
    add_chunks<heads, chunks>(tile.v, next.v, first, tile.tokens, weights, factors, acc + first, acc_stride);
  }
  if constexpr (chunks > 1) {
    if (c < end) { add_whole_chunks<heads, chunks / 2>(tile, next, c, end, weights, factors, acc, acc_stride); }
  }
}

// add_chunks() for a whole head.
template <int heads>
inline void add_values(const Tile& tile, const Tile& next, const Tails& tails, int dim, const float (*weights)[kTile],
                       const float* factors, float* acc, int acc_stride) {
  const int full = dim / kAttentionChunk;
  add_whole_chunks<heads>(tile, next, 0, full, weights, factors, acc, acc_stride);
  if (dim % kAttentionChunk == 0) { return; }
  const Bf16* ends[kTile];
  for (int t = 0; t < tile.tokens; ++t) { ends[t] = tails.v[t]; }
  add_chunks<heads, 1>(ends, ends, 0, tile.tokens, weights, factors, acc + full * kAttentionChunk, acc_stride);
}

struct RowState {
  int q_stride = 0;      // padded head_dim
  int value_stride = 0;  // padded value_dim
  float* q = nullptr;
  float* acc = nullptr;
  float* denominators = nullptr;  // [head][16]
  float* maxima = nullptr;        // [head]
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
  score_tile<heads>(scorer, tile, next, tails, weights);
  for (int h = 0; h < heads; ++h) {
    factors[h] = absorb_scores(weights[h], tile.tokens, s.maxima + first + h, s.denominators + (first + h) * kTile);
  }
  add_values<heads>(tile, next, tails, row.value_dim, weights, factors, s.acc + first * s.value_stride, s.value_stride);
}

// The tile for all heads, kHeads at a time.
template <int heads = kHeads>
inline void attend_heads(const AttentionRow& row, const RowState& s, int first, const Tile& tile, const Tile& next,
                         const Tails& tails) {
  for (; first + heads <= row.group; first += heads) {
    attend_tile<heads>(row, s, first, tile, first == 0 ? next : tile, tails);
  }
  if constexpr (heads > 1) {
    if (first < row.group) { attend_heads<heads - 1>(row, s, first, tile, next, tails); }
  }
}

inline void attention_rows(const AttentionRow* rows, int count) {
  RowState states[kMostRowsTogether];
  Cursor cursors[kMostRowsTogether];
  for (int i = 0; i < count; ++i) { states[i] = begin_row(rows[i]); }
  const bool k_tail = rows[0].head_dim % kAttentionChunk != 0;
  const bool v_tail = rows[0].value_dim % kAttentionChunk != 0;
  Tails tails;
  Tile tiles[2];
  next_tile(rows[0], cursors[0], tiles[0]);
  int i = 0;
  for (int current = 0; tiles[current].tokens > 0; current = 1 - current) {
    const AttentionRow& row = rows[i];
    const Tile& tile = tiles[current];
    const int following = i + 1 < count ? i + 1 : 0;
    next_tile(rows[following], cursors[following], tiles[1 - current]);
    if (k_tail) { copy_tails(tile.k, (tile.tokens + 3) / 4 * 4, row.head_dim, tails.k); }
    if (v_tail) { copy_tails(tile.v, tile.tokens, row.value_dim, tails.v); }
    attend_heads(row, states[i], 0, tile, tiles[1 - current], tails);
    i = following;
  }
  for (int done = 0; done < count; ++done) { end_row(rows[done], states[done]); }
}

}  // namespace
}  // namespace vortex::cpu
