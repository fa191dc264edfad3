// Register tiles and the packed matrix product, for the instruction set that the including file is compiled for.
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/lanes.h"

namespace vortex::cpu {
namespace {

// Rows whose accumulators, with one vector of weights and one broadcast, fill the registers.
#if defined(__AVX512F__)
constexpr int kTileRows = 12;
constexpr int kMostSums = 24;
#else
constexpr int kTileRows = 6;
constexpr int kMostSums = 6;
#endif
constexpr int kDepthBlock = 256;  // one unpacked panel block is 16 KiB: it stays in the first-level cache

// Panels that `rows` rows take side by side, so that their sums fill the registers.
constexpr int panels_for(int rows) {
  return 8 * rows <= kMostSums ? 8 : 4 * rows <= kMostSums ? 4 : 2 * rows <= kMostSums ? 2 : 1;
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

// tile_column() for the last panel, of which only `cols` outputs exist.
inline void narrow_column(int rows, const float* a, std::int64_t lda, const float* b, int depth, float* c,
                          std::int64_t ldc, bool accumulate, int cols) {
  for (int row = 0; row < rows; ++row) {
    float sums[kLanes] = {};
    float* out = c + row * ldc;
    if (accumulate) { store(sums, load_n(out, cols)); }
    tile<1>(a + row * lda, lda, b, kLanes, depth, sums, kLanes, accumulate);
    store_n(out, load(sums), cols);
  }
}

// Outputs of `panels` panels side by side for `rows` rows, straight from the packed weights: so many chains at once
// that memory is what one waits for.
template <int rows, int panels>
inline void few_rows(const float* x, std::int64_t ldx, const PackedMatrix& w, std::int64_t panel, float* y,
                     std::int64_t ldy) {
  const Bf16* packed = w.panels + panel * panel_size(w.k);
  Lanes sums[static_cast<unsigned>(panels)][static_cast<unsigned>(rows)];
#pragma GCC unroll 8
  for (int p = 0; p < panels; ++p) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) { sums[p][r] = splat(0.0F); }
  }
  Lanes even;
  Lanes odd;
  const int paired = w.k / 2 * 2;
  for (int k = 0; k < paired; k += 2) {
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p) {
      const Bf16* pairs = packed + p * panel_size(w.k) + k * std::int64_t{kLanes};
      load_bf16_pairs(pairs, even, odd);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        sums[p][r] = fma(splat(x[r * ldx + k + 1]), odd, fma(splat(x[r * ldx + k]), even, sums[p][r]));
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < panels; ++p) {
    if (paired < w.k) {
      load_bf16_pairs(packed + p * panel_size(w.k) + paired * std::int64_t{kLanes}, even, odd);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) { sums[p][r] = fma(splat(x[r * ldx + paired]), even, sums[p][r]); }
    }
    const std::int64_t first = (panel + p) * kLanes;
    const auto cols = static_cast<int>(w.n - first < kLanes ? w.n - first : kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      if (cols == kLanes) {
        store(y + r * ldy + first, sums[p][r]);
      } else {
        store_n(y + r * ldy + first, sums[p][r], cols);
      }
    }
  }
}

template <int rows, int panels = panels_for(rows)>
inline void few_rows_strip(const float* x, std::int64_t ldx, const PackedMatrix& w, float* y, std::int64_t ldy,
                           std::int64_t panel, std::int64_t end) {
  for (; panel + panels <= end; panel += panels) { few_rows<rows, panels>(x, ldx, w, panel, y, ldy); }
  if constexpr (panels > 1) {
    if (panel < end) { few_rows_strip<rows, panels / 2>(x, ldx, w, y, ldy, panel, end); }
  }
}

// few_rows_strip() for any number of rows up to kTileRows.
template <int rows = kTileRows>
inline void few_rows_of(int count, const float* x, std::int64_t ldx, const PackedMatrix& w, float* y, std::int64_t ldy,
                        std::int64_t panel, std::int64_t end) {
  if constexpr (rows > 0) {
    if (count == rows) {
      few_rows_strip<rows>(x, ldx, w, y, ldy, panel, end);
    } else {
      few_rows_of<rows - 1>(count, x, ldx, w, y, ldy, panel, end);
    }
  }
}

void gemm_panels(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
                 std::int64_t panel_begin, std::int64_t panel_end) {
  if (rows <= kTileRows) { return few_rows_of(rows, x, ldx, w, y, ldy, panel_begin, panel_end); }
  alignas(64) float unpacked[kDepthBlock * kLanes];
  for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
    const Bf16* packed = w.panels + panel * panel_size(w.k);
    const std::int64_t first = panel * kLanes;
    const std::int64_t cols = w.n - first < kLanes ? w.n - first : kLanes;
    for (int k = 0; k < w.k; k += kDepthBlock) {
      const int depth = w.k - k < kDepthBlock ? w.k - k : kDepthBlock;
      for (int i = 0; i < depth; i += 2) {  // of an odd depth, the last pair's second half is a zero
        Lanes even;
        Lanes odd;
        load_bf16_pairs(packed + (k + i) * std::int64_t{kLanes}, even, odd);
        store(unpacked + i * kLanes, even);
        store(unpacked + (i + 1) * kLanes, odd);
      }
      if (cols == kLanes) {
        tile_column(rows, x + k, ldx, unpacked, kLanes, depth, y + first, ldy, k > 0);
      } else {
        narrow_column(rows, x + k, ldx, unpacked, depth, y + first, ldy, k > 0, static_cast<int>(cols));
      }
    }
  }
}

}  // namespace
}  // namespace vortex::cpu
