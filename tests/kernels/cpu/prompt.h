#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cpu/prefill_attention.h"

namespace vortex::cpu {

// `size` numbers within half a spread of 0.
inline std::vector<float> random_values(size_t size, unsigned seed, float spread = 1.0F) {
  std::mt19937 generator(seed);
  std::vector<float> values(size);
  for (float& value : values) { value = spread * (static_cast<float>(generator()) / 4294967296.0F - 0.5F); }
  return values;
}

// Queries, keys and values of a prompt, to attend.
struct Prompt {
  Prompt(int token_count, int head_count, int group_size, int dim, float spread = 4.0F)
      : tokens(token_count), kv_heads(head_count), group(group_size), head_dim(dim) {
    const auto keys = static_cast<size_t>(tokens * kv_heads * head_dim);
    q = random_values(keys * static_cast<size_t>(group), 3, spread);
    for (const float value : random_values(keys, 4, spread)) { k.push_back(float_to_bf16(value)); }
    for (const float value : random_values(keys, 5, spread)) { v.push_back(float_to_bf16(value)); }
  }

  // A call that writes into `out`, which is all -7 before it.
  PrefillAttentionArgs args(std::vector<float>& out, std::vector<float>& scratch, int first_query = 0) const {
    out.assign(q.size(), -7.0F);
    scratch.assign(static_cast<size_t>(prefill_scratch_size(tokens, kv_heads, head_dim)), NAN);
    PrefillAttentionArgs args;
    args.q = q.data();
    args.out = out.data();
    args.k = k.data();
    args.v = v.data();
    args.scratch = scratch.data();
    args.tokens = tokens;
    args.first_query = first_query;
    args.kv_heads = kv_heads;
    args.group = group;
    args.head_dim = head_dim;
    args.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    return args;
  }

  std::vector<float> run_float32(ThreadPool* pool = nullptr, Isa isa = best_isa(), int first_query = 0) const {
    std::vector<float> out;
    std::vector<float> scratch;
    prefill_attention(args(out, scratch, first_query), pool, isa);
    return out;
  }

  int tokens, kv_heads, group, head_dim;
  std::vector<float> q;
  std::vector<Bf16> k;
  std::vector<Bf16> v;
};

}  // namespace vortex::cpu
