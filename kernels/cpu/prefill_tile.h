// What causal attention of a prompt does with a tile of queries whatever its products run on, for the instruction set
// that the including file is compiled for. Row = query token * group + query head of the group.
#pragma once

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/prefill_attention.h"
#include "kernels/cpu/wide.h"

namespace vortex::cpu {
namespace {

constexpr int kKeyTile = 128;  // keys that are attended at once

// The online softmax of every row, over the keys so far.
struct TileSums {
  alignas(64) float out[kPrefillTileRows * kMaxPrefillHeadDim];  // sum of exp(score - peak) * value
  float peak[kPrefillTileRows];                                  // largest score
  float total[kPrefillTileRows];                                 // sum of exp(score - peak)
};

// A tile: the queries [token_begin, token_end) of one kv head.
struct QueryRows {
  QueryRows(const PrefillAttentionArgs& call, int kv_head, int first_token, int token_end)
      : args(call),
        token_begin(first_token),
        count((token_end - first_token) * call.group),
        token_stride(static_cast<std::int64_t>(call.kv_heads) * call.group * call.head_dim),
        start((first_token - call.first_row) * token_stride +
              static_cast<std::int64_t>(kv_head) * call.group * call.head_dim) {}

  // Where a row begins in `q` and `out`.
  std::int64_t at(int row) const {
    return start + row / args.group * token_stride + static_cast<std::int64_t>(row % args.group) * args.head_dim;
  }

  const PrefillAttentionArgs& args;
  int token_begin;
  int count;
  std::int64_t token_stride;
  std::int64_t start;
};

inline void clear_row(TileSums& sums, int row, int head_dim) {
  for (int d = 0; d < head_dim; d += kLanes) { store(sums.out + row * head_dim + d, splat(0.0F)); }
  sums.peak[row] = -__builtin_inff();
  sums.total[row] = 0.0F;
}

// Scores of the keys [first, first + keys) that come after the row's own token weigh nothing.
inline void mask_later_keys(const QueryRows& rows, int row, int first, int keys, float* scores) {
  const int visible = rows.token_begin + row / rows.args.group + 1 - first;
  for (int j = visible > 0 ? visible : 0; j < keys; ++j) { scores[j] = -__builtin_inff(); }
}

// Rescales what was summed below another peak.
inline void set_peak(TileSums& sums, int row, float peak, int head_dim) {
  if (peak == sums.peak[row]) { return; }
  float correction[kLanes];
  store(correction, exponential(splat(sums.peak[row] - peak)));
  sums.total[row] *= correction[0];
  float* out = sums.out + row * head_dim;
  for (int d = 0; d < head_dim; d += kLanes) { store(out + d, load(out + d) * splat(correction[0])); }
  sums.peak[row] = peak;
}

// The weighted means, to where they belong.
inline void store_rows(const QueryRows& rows, const TileSums& sums) {
  const int dim = rows.args.head_dim;
  for (int row = 0; row < rows.count; ++row) {
    float* out = rows.args.out + rows.at(row);
    const Lanes total = splat(sums.total[row]);
    for (int d = 0; d < dim; d += kLanes) { store(out + d, load(sums.out + row * dim + d) / total); }
  }
}

}  // namespace
}  // namespace vortex::cpu
