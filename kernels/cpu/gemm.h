#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace vortex::cpu {

// A weight matrix W [n][k] in bf16, repacked into panels of 16 outputs: [ceil(n / 16)][k][16], padded with zeros.
// Vector lanes run over outputs, so that every output is one plain sum over k in ascending order.
struct PackedMatrix {
  const Bf16* panels = nullptr;
  int n = 0;
  int k = 0;
};

// Elements of the panels of an [n][k] matrix.
constexpr std::int64_t packed_size(int n, int k) { return static_cast<std::int64_t>((n + 15) / 16) * 16 * k; }

// Writes row `n` of W (k values, rounded to bf16) into its place of `panels`, which start out zeroed.
void pack_row(const float* row, int n, int k, Bf16* panels);

// y[rows][n] = x[rows][k] W^T in float32, with ldx and ldy elements between rows. Each y is the chain
// fma(x[k-1], w[k-1], ... fma(x[0], w[0], 0)): it depends on its own row of x alone and is the same on every
// instruction set, thread count and number of rows. Weights are read from memory once a call.
void gemm(const float* x, std::int64_t ldx, int rows, const PackedMatrix& w, float* y, std::int64_t ldy,
          ThreadPool* pool = nullptr, Isa isa = best_isa());

}  // namespace vortex::cpu
