// The kernels on AVX512-BF16.
#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/bf16_impl.h"

namespace vortex::cpu {
namespace {

constexpr int kMostRows = 6;  // whose sums over four panels, with weights and a value, fill the 32 registers
constexpr int kMostPanels = kGroupPanels;

inline __m512bh load_pairs(const Bf16* p) { return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p)); }
inline __m512bh splat_pair(const Bf16* p) {
  int pair;
  std::memcpy(&pair, p, sizeof(pair));
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
}

// `rows` rows of a on `panels` panels side by side, all of the depth.
template <int rows, int panels>
void pair_tile(const Bf16Product& p, int row, int panel) {
  const Bf16* a = p.a + row * p.lda;
  const Bf16* b = p.panels + panel * p.panel_stride;
  float* c = p.c + row * p.ldc + std::int64_t{panel} * kLanes;
  const int left = p.cols - panel * kLanes;
  const auto cols_of = [&](int j) { return left - j * kLanes < kLanes ? left - j * kLanes : kLanes; };
  __m512 sums[static_cast<unsigned>(rows)][static_cast<unsigned>(panels)];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < panels; ++j) {
      sums[i][j] = p.accumulate ? load_n(c + i * p.ldc + j * kLanes, cols_of(j)).v : _mm512_setzero_ps();
    }
  }
  for (int k = 0; k < p.depth; k += 2, b += p.pair_stride) {
    if constexpr (panels == kGroupPanels) { ask_for_next_page<4>(b, p.page_step); }
    __m512bh weights[static_cast<unsigned>(panels)];
#pragma GCC unroll 4
    for (int j = 0; j < panels; ++j) { weights[j] = load_pairs(b + j * p.panel_stride); }
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const __m512bh value = splat_pair(a + i * p.lda + k);
#pragma GCC unroll 4
      for (int j = 0; j < panels; ++j) { sums[i][j] = _mm512_dpbf16_ps(sums[i][j], value, weights[j]); }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < panels; ++j) { store_n(c + i * p.ldc + j * kLanes, {sums[i][j]}, cols_of(j)); }
  }
}

// pair_tile() of any number of rows up to kMostRows, on all panels of [panel, end), `panels` at a time.
template <int rows, int panels = kMostPanels>
void row_strip(const Bf16Product& p, int row, int panel, int end) {
  for (; panel + panels <= end; panel += panels) { pair_tile<rows, panels>(p, row, panel); }
  if constexpr (panels > 1) {
    if (panel < end) { row_strip<rows, panels / 2>(p, row, panel, end); }
  }
}

template <int rows = kMostRows>
void strip_of(int count, const Bf16Product& p, int row, int panel, int end) {
  if constexpr (rows > 0) {
    if (count == rows) {
      row_strip<rows>(p, row, panel, end);
    } else {
      strip_of<rows - 1>(count, p, row, panel, end);
    }
  }
}

struct Avx512Unit {
  static void begin() {}
  static void end() {}
  static void multiply(const Bf16Product& p) {
    const int panels = (p.cols + kLanes - 1) / kLanes;
    const int strips = (p.rows + kMostRows - 1) / kMostRows;
    // Strips of equal height; a few panels go through all of them while they are in the cache.
    for (int panel = 0; panel < panels; panel += kMostPanels) {
      const int end = panel + kMostPanels < panels ? panel + kMostPanels : panels;
      for (int strip = 0; strip < strips; ++strip) {
        const int row = p.rows * strip / strips;
        strip_of(p.rows * (strip + 1) / strips - row, p, row, panel, end);
      }
    }
  }
};

}  // namespace

const Bf16Kernels kBf16Avx512 = kernels_of<Avx512Unit>();

}  // namespace vortex::cpu
