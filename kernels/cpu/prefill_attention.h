#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/unit.h"

namespace vortex::cpu {

// Grouped-query causal attention of a prompt, or of its last tokens, over all of it.
struct PrefillAttentionArgs {
  const float* q = nullptr;  // [token from first_row on][kv head][group][head_dim], after RoPE
  float* out = nullptr;      // like q
  const Bf16* k = nullptr;   // [kv head][token][head_dim]
  const Bf16* v = nullptr;
  // In the place of k and v, where they are not what is cached; not for prefill_attention_bf16().
  const float* wide_k = nullptr;
  const float* wide_v = nullptr;
  float* scratch = nullptr;  // prefill_scratch_size(...) floats
  int tokens = 0;
  int first_row = 0;    // the token that q and out begin with
  int first_query = 0;  // at least that; outputs of earlier tokens are not computed
  int kv_heads = 0;
  int group = 1;     // <= kMaxPrefillGroup
  int head_dim = 0;  // a multiple of 16, <= kMaxPrefillHeadDim
  float scale = 1.0F;
};
inline constexpr int kMaxPrefillGroup = 64;
inline constexpr int kMaxPrefillHeadDim = 256;

// Of any unit: tokens and head_dim rounded up to 32.
constexpr std::int64_t prefill_scratch_size(int tokens, int kv_heads, int head_dim) {
  return static_cast<std::int64_t>((tokens + 31) / 32 * 32) * ((head_dim + 31) / 32 * 32) * kv_heads;
}

// out = softmax(scale q K^T + causal mask) V, tiled with an online softmax (Milakov, Gimelshein, arXiv:1805.02867; Dao
// et al., arXiv:2205.14135), in float32. Neither threads nor instruction set change a bit, nor do the tokens that are
// computed together.
void prefill_attention(const PrefillAttentionArgs& args, ThreadPool* pool = nullptr, Isa isa = best_isa());

// The same on a bfloat16 unit that this machine has: scaled queries and softmax weights are rounded to bfloat16, both
// products are summed as gemm_bf16() does. Neither threads nor the tokens computed together change a bit.
void prefill_attention_bf16(Unit unit, const PrefillAttentionArgs& args, ThreadPool* pool = nullptr);

}  // namespace vortex::cpu
