// Register tiles and the packed matrix product, for the instruction set that the including file is compiled for.
#pragma once

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/lanes.h"

namespace vortex::cpu {
namespace {

// Rows whose accumulators, with one vector of weights and one broadcast, fill the registers.
#if defined(__AVX512F__)
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif
constexpr int kDepthBlock = 256;  // one unpacked panel block is 16 KiB: it stays in the first-level cache

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

void gemm_panels(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
                 std::int64_t panel_begin, std::int64_t panel_end) {
  alignas(64) float unpacked[kDepthBlock * kLanes];
  for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
    const Bf16* packed = w.panels + panel * w.k * kLanes;
    const std::int64_t first = panel * kLanes;
    const std::int64_t cols = w.n - first < kLanes ? w.n - first : kLanes;
    for (int k = 0; k < w.k; k += kDepthBlock) {
      const int depth = w.k - k < kDepthBlock ? w.k - k : kDepthBlock;
      for (int i = 0; i < depth; ++i) {
        store(unpacked + i * kLanes, load_bf16(packed + (k + i) * std::int64_t{kLanes}));
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
