// Register tiles and the packed matrix product, for the instruction set that the including file is compiled for.
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/panels.h"

namespace vortex::cpu {
namespace {

// kTileRows, of one panel, or kMostSums vectors of sums fill the registers, with weights and one broadcast beside them.
#if defined(__AVX512F__)
constexpr int kTileRows = 12;
constexpr int kMostSums = 24;
// Rows that are multiplied together, and elements of k that all rows go over before the next ones: what a group of
// panels has of them, 128 and 16 KiB, stays in the second or first level of the cache.
constexpr int kStripRows = 6;
constexpr int kDepthBlock = 1024;
#else
constexpr int kTileRows = 6;
constexpr int kMostSums = 6;
constexpr int kStripRows = 4;
constexpr int kDepthBlock = 128;
#endif

// Panels that `rows` rows take side by side, so that their sums fill the registers.
constexpr int panels_for(int rows) { return 4 * rows <= kMostSums ? 4 : 2 * rows <= kMostSums ? 2 : 1; }

// The first `cols` outputs of a panel, which are all but in the last one.
inline Lanes load_part(const float* p, int cols) { return cols == kLanes ? load(p) : load_n(p, cols); }
inline void store_part(float* p, Lanes a, int cols) {
  if (cols == kLanes) {
    store(p, a);
  } else {
    store_n(p, a, cols);
  }
}

// c[r][0..16) = sum over k of a[r][k] * b[k][0..16), added to c where `accumulate`.
template <int rows>
inline void tile(const float* a, std::int64_t lda, const float* b, std::int64_t ldb, int depth, float* c,
                 std::int64_t ldc, bool accumulate) {
  Lanes sums[static_cast<unsigned>(rows)];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) { sums[r] = accumulate ? load(c + r * ldc) : splat(0.0F); }
  for (int k = 0; k < depth; ++k) {
    const Lanes weights = load(b + k * ldb);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) { sums[r] = fma(splat(a[r * lda + k]), weights, sums[r]); }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) { store(c + r * ldc, sums[r]); }
}

// tile() for any number of rows up to kTileRows.
template <int rows = kTileRows>
inline void tile_rows(int count, const float* a, std::int64_t lda, const float* b, std::int64_t ldb, int depth,
                      float* c, std::int64_t ldc, bool accumulate) {
  if constexpr (rows > 0) {
    if (count == rows) {
      tile<rows>(a, lda, b, ldb, depth, c, ldc, accumulate);
    } else {
      tile_rows<rows - 1>(count, a, lda, b, ldb, depth, c, ldc, accumulate);
    }
  }
}

// tile() over any number of rows.
inline void tile_column(int rows, const float* a, std::int64_t lda, const float* b, std::int64_t ldb, int depth,
                        float* c, std::int64_t ldc, bool accumulate) {
  for (int row = 0; row < rows; row += kTileRows) {
    const int count = rows - row < kTileRows ? rows - row : kTileRows;
    tile_rows(count, a + row * lda, lda, b, ldb, depth, c + row * ldc, ldc, accumulate);
  }
}

// A strip of rows times panels of one group, over a part of the depth.
struct Strip {
  const float* x = nullptr;
  std::int64_t ldx = 0;
  int depth = 0;
  const Bf16* pairs = nullptr;  // of the first panel
  std::int64_t pair_stride = 0;
  std::int64_t group_stride = 0;  // where panels of several groups are taken side by side
  int panels = 0;
  float* y = nullptr;  // of the first panel
  std::int64_t ldy = 0;
  std::int64_t cols = 0;  // from there to the last output
  bool accumulate = false;
  // What is asked for while its panels are read a part at a time, in elements from there: the next block of k, since
  // the hardware does not follow a stream with gaps.
  std::int64_t ahead = 0;
  std::uintptr_t page_step = 0;  // of ask_for_next_page()
};

// Outputs of `panels` panels side by side, from panel `first` on, straight from the packed weights: so many chains at
// once that arithmetic or memory is what one waits for.
template <int rows, int panels>
inline void strip_tile(const Strip& s, int first) {
  float* y = s.y + std::int64_t{kLanes} * first;
  const auto cols_of = [&](int i) {
    const std::int64_t left = s.cols - std::int64_t{kLanes} * (first + i);
    return static_cast<int>(left < kLanes ? left : kLanes);
  };
  Lanes sums[static_cast<unsigned>(panels)][static_cast<unsigned>(rows)];
#pragma GCC unroll 16
  for (int i = 0; i < panels; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      sums[i][r] = s.accumulate ? load_part(y + r * s.ldy + i * kLanes, cols_of(i)) : splat(0.0F);
    }
  }
  Lanes even;
  Lanes odd;
  const int paired = s.depth / 2 * 2;
  const Bf16* pairs = s.pairs + std::int64_t{kPairs} * first;
  for (int k = 0; k < paired; k += 2, pairs += s.pair_stride) {
    if constexpr (panels == kGroupPanels) { ask_for_next_page<8>(pairs, s.page_step); }
#pragma GCC unroll 16
    for (int i = 0; i < panels; ++i) {
      load_bf16_pairs(pairs + i / kGroupPanels * s.group_stride + i % kGroupPanels * kPairs, even, odd);
      if constexpr (panels < kGroupPanels) { __builtin_prefetch(pairs + i * kPairs + s.ahead, 0, 2); }
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        sums[i][r] = fma(splat(s.x[r * s.ldx + k + 1]), odd, fma(splat(s.x[r * s.ldx + k]), even, sums[i][r]));
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < panels; ++i) {
    if (paired < s.depth) {
      load_bf16_pairs(pairs + i / kGroupPanels * s.group_stride + i % kGroupPanels * kPairs, even, odd);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) { sums[i][r] = fma(splat(s.x[r * s.ldx + paired]), even, sums[i][r]); }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) { store_part(y + r * s.ldy + i * kLanes, sums[i][r], cols_of(i)); }
  }
}

// All panels from `first` on, at most `panels` at a time.
template <int rows, int panels = panels_for(rows)>
inline void strip_panels(const Strip& s, int first = 0) {
  for (; first + panels <= s.panels; first += panels) { strip_tile<rows, panels>(s, first); }
  if constexpr (panels > 1) {
    if (first < s.panels) { strip_panels<rows, panels / 2>(s, first); }
  }
}

// strip_panels() for any number of rows up to kStripRows.
template <int rows = kStripRows>
inline void strip_of(int count, const Strip& s) {
  if constexpr (rows > 0) {
    if (count == rows) {
      strip_panels<rows>(s);
    } else {
      strip_of<rows - 1>(count, s);
    }
  }
}

// In small pages one row takes four groups side by side: where one stream waits for its next page, three go on.
#if defined(__AVX512F__)
constexpr int kWideRun = 4 * kGroupPanels;
#else
constexpr int kWideRun = kGroupPanels;  // more sums would not fit the registers
#endif

inline bool takes_wide_run(const PackedMatrix& w, std::int64_t panel, std::int64_t end) {
  return kWideRun > kGroupPanels && w.small_pages && panel % kGroupPanels == 0 && panel + kWideRun <= end;
}

inline void wide_run(const float* x, const PackedMatrix& w, float* y, std::int64_t panel) {
  const PanelRun run = panel_run(w.n, w.k, panel, panel + kGroupPanels);
  Strip s;
  s.x = x;
  s.depth = w.k;
  s.pairs = w.panels + run.offset;
  s.pair_stride = run.pair_stride;
  s.group_stride = kGroupPanels * panel_size(w.k);
  s.y = y + panel * kLanes;
  s.cols = w.n - panel * kLanes;
  strip_tile<1, kWideRun>(s, 0);
}

// Rows go in strips of equal height. What one strip takes in one go is read to its whole depth; else every strip goes
// over a part of a group while that is in the cache.
void gemm_panels(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
                 std::int64_t panel_begin, std::int64_t panel_end) {
  const int strips = (rows + kStripRows - 1) / kStripRows;
  const int step = strips == 1 && panels_for(rows) == kGroupPanels ? w.k : kDepthBlock;
  for (std::int64_t panel = panel_begin; panel < panel_end;) {
    if (rows == 1 && takes_wide_run(w, panel, panel_end)) {
      wide_run(x, w, y, panel);
      panel += kWideRun;
      continue;
    }
    const PanelRun run = panel_run(w.n, w.k, panel, panel_end);
    Strip s;
    s.ldx = ldx;
    s.pair_stride = run.pair_stride;
    s.panels = run.count;
    s.ldy = ldy;
    s.page_step = w.small_pages ? kGroupPairs : 0;
    s.cols = w.n - panel * kLanes;
    for (int k = 0; k < w.k; k += step) {
      s.depth = w.k - k < step ? w.k - k : step;
      s.pairs = w.panels + run.offset + k / 2 * run.pair_stride;
      s.accumulate = k > 0;
      for (int strip = 0; strip < strips; ++strip) {
        const int row = rows * strip / strips;
        s.ahead = strip == 0 ? step / 2 * run.pair_stride : 0;
        s.x = x + row * ldx + k;
        s.y = y + row * ldy + panel * kLanes;
        strip_of(rows * (strip + 1) / strips - row, s);
      }
    }
    panel += run.count;
  }
}

}  // namespace
}  // namespace vortex::cpu
