// Causal attention of a chunk of a prompt over the paged KV of its request, on the tensor cores.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// Row r is the token at position first + r: out[r][h] = sum_t softmax_t(scale * q[r][h] . k_t) v_t over the tokens
// t <= first + r, whose K and V are in the pool. Products in bf16 (weights of the softmax and fp32 K and V are rounded
// to it), sums in fp32, so a row differs from decode_attention by bf16 rounding. A row's bits do not depend on its
// chunk. Supported: head_dim in {64, 128}, block a multiple of 16.
struct PrefillAttention {
  const Bf16* q = nullptr;  // [row][q head][head_dim]
  Bf16* out = nullptr;      // [row][q head][head_dim]
  KvPool kv;
  const std::int32_t* pages = nullptr;  // the request's, by logical block
  int first = 0;
  int rows = 0;
  int num_q_heads = 0;
  float scale = 1.0F;
  bool plain = false;  // by the kernel that takes every type, even where there is a quicker one
  // KV heads whose rows the quicker kernel takes before the next ones' (prefill_order.h); 0: as many as suit the cache.
  int heads_together = 0;
};

cudaError_t prefill_attention(const PrefillAttention& args, cudaStream_t stream);

}  // namespace vortex::cuda
