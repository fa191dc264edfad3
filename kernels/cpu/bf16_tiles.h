// Products on tiles of 16 rows by 64 bytes. `Tiles` are the eight tiles of the processor (bf16_amx.cpp), or a model of
// them in a test:
//   begin(), end(): around all use; zero<t>(); load<t>(address, bytes between rows); store<t>(likewise);
//   multiply<c, a, b>(): c[m][n] += sum over k of a[m][k] b[k / 2][2 n + k % 2], as TDPBF16PS sums.
#pragma once

#include "kernels/cpu/bf16_product.h"

namespace vortex::cpu {
namespace {

constexpr int kTileEdge = 16;   // rows of a tile, and floats of one of its rows
constexpr int kTileDepth = 32;  // bfloat16 values of a row

// One block of c, of at most 2 by 2 tiles; tile 2 i + j is c's, 4 + i is a's, 6 + j is b's.
template <typename Tiles>
class TileBlock {
 public:
  TileBlock(const Bf16Product& product, int row, int col) : p_(product), row_(row), col_(col) {}

  template <int tall, int wide>
  void run() {
    start<tall, wide>();
    const Bf16* a = p_.a + row_ * p_.lda;
    const Bf16* b = p_.panels + col_ / kTileEdge * p_.panel_stride;
    const auto a_stride = static_cast<std::int64_t>(sizeof(Bf16)) * p_.lda;
    const auto b_stride = static_cast<std::int64_t>(sizeof(Bf16)) * p_.pair_stride;
    for (int k = 0; k < p_.depth; k += kTileDepth, a += kTileDepth, b += kTileDepth / 2 * p_.pair_stride) {
      Tiles::template load<6>(b, b_stride);
      if constexpr (wide == 2) { Tiles::template load<7>(b + p_.panel_stride, b_stride); }
      Tiles::template load<4>(a, a_stride);
      if constexpr (tall == 2) { Tiles::template load<5>(a + kTileEdge * p_.lda, a_stride); }
      Tiles::template multiply<0, 4, 6>();
      if constexpr (wide == 2) { Tiles::template multiply<1, 4, 7>(); }
      if constexpr (tall == 2) { Tiles::template multiply<2, 5, 6>(); }
      if constexpr (tall == 2 && wide == 2) { Tiles::template multiply<3, 5, 7>(); }
    }
    finish<tall, wide>();
  }

 private:
  static constexpr std::int64_t kRowBytes = 64;

  template <int tall, int wide>
  void start() {
    start_tile<0>();
    if constexpr (wide == 2) { start_tile<1>(); }
    if constexpr (tall == 2) { start_tile<2>(); }
    if constexpr (tall == 2 && wide == 2) { start_tile<3>(); }
  }

  template <int tall, int wide>
  void finish() {
    finish_tile<0>();
    if constexpr (wide == 2) { finish_tile<1>(); }
    if constexpr (tall == 2) { finish_tile<2>(); }
    if constexpr (tall == 2 && wide == 2) { finish_tile<3>(); }
  }

  // Where tile t of c begins, and how much of it there is.
  template <int t>
  float* place(int& rows, int& cols) const {
    const int row = row_ + t / 2 * kTileEdge;
    const int col = col_ + t % 2 * kTileEdge;
    rows = p_.rows - row < kTileEdge ? p_.rows - row : kTileEdge;
    cols = p_.cols - col < kTileEdge ? p_.cols - col : kTileEdge;
    return p_.c + row * p_.ldc + col;
  }

  template <int t>
  void start_tile() {
    if (!p_.accumulate) { return Tiles::template zero<t>(); }
    int rows = 0;
    int cols = 0;
    const float* c = place<t>(rows, cols);
    if (rows == kTileEdge && cols == kTileEdge) {
      return Tiles::template load<t>(c, static_cast<std::int64_t>(sizeof(float)) * p_.ldc);
    }
    alignas(64) float whole[kTileEdge * kTileEdge] = {};
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < cols; ++j) { whole[i * kTileEdge + j] = c[i * p_.ldc + j]; }
    }
    Tiles::template load<t>(whole, kRowBytes);
  }

  template <int t>
  void finish_tile() {
    int rows = 0;
    int cols = 0;
    float* c = place<t>(rows, cols);
    if (rows == kTileEdge && cols == kTileEdge) {
      return Tiles::template store<t>(c, static_cast<std::int64_t>(sizeof(float)) * p_.ldc);
    }
    alignas(64) float whole[kTileEdge * kTileEdge];
    Tiles::template store<t>(whole, kRowBytes);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < cols; ++j) { c[i * p_.ldc + j] = whole[i * kTileEdge + j]; }
    }
  }

  const Bf16Product& p_;
  int row_;
  int col_;
};

// A unit, as bf16_impl.h takes it.
template <typename Tiles>
struct TileUnit {
  static void begin() { Tiles::begin(); }
  static void end() { Tiles::end(); }
  static void multiply(const Bf16Product& product) {
    for (int col = 0; col < product.cols; col += 2 * kTileEdge) {
      for (int row = 0; row < product.rows; row += 2 * kTileEdge) {
        TileBlock<Tiles> block(product, row, col);
        const bool tall = product.rows - row > kTileEdge;
        const bool wide = product.cols - col > kTileEdge;
        if (tall && wide) {
          block.template run<2, 2>();
        } else if (tall) {
          block.template run<2, 1>();
        } else if (wide) {
          block.template run<1, 2>();
        } else {
          block.template run<1, 1>();
        }
      }
    }
  }
};

}  // namespace
}  // namespace vortex::cpu
