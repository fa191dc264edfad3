// From the QKV projection to the KV pool: QK-norm, rotary embedding, append (quantising where the pool is fp8), and the
// summary of a block when its last token arrives.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// Per-block summaries of the stored keys (after norm, rope and rounding), each [page][kv head][head_dim]; null where a
// policy does not want one.
struct BlockSummary {
  Bf16* mean = nullptr;
  Bf16* max = nullptr;
  Bf16* min = nullptr;
};

// For each token: the bias is added where one is given; q and k are RMS-normalised per head where weights are given (x
// / sqrt(mean(x^2) + epsilon) * weight), then rotated (dimension i with i + head_dim / 2); q is written out, k and v
// are stored at the token's place. Supported: head_dim in {64, 128}. Started early, it reads everything but qkv while
// the kernel before it still runs.
struct KvAppend {
  const Bf16* qkv = nullptr;     // [token][q heads, k heads, v heads][head_dim]
  const Bf16* bias = nullptr;    // [q heads, k heads, v heads][head_dim], or null
  const Bf16* q_norm = nullptr;  // [head_dim], or null
  const Bf16* k_norm = nullptr;  // [head_dim], or null
  float epsilon = 1e-6F;
  const float2* rope = nullptr;  // [position][head_dim / 2], (cos, sin)
  // Decode: both null; token i is the last one of request i, and blocks it completes are summarised.
  // Prefill: both [token]; summaries come from summarize_blocks, because the tokens of a block arrive together.
  const std::int32_t* requests = nullptr;
  const std::int32_t* positions = nullptr;
  // [token]; tokens with 0 are left alone (requests that wait for a page); null: all are active.
  const std::uint8_t* active = nullptr;
  int num_tokens = 0;
  int num_q_heads = 0;
  Bf16* q = nullptr;  // [token][q head][head_dim]; not written for inactive tokens and empty requests
  KvPool kv;
  PageTable table;
  BlockSummary summary;  // decode only
};

cudaError_t append_kv(const KvAppend& args, cudaStream_t stream);

// Summarises the complete blocks of every request that hold a token at position first_tokens[request] or later; at most
// `max_new_blocks` of them a request.
struct SummarizeBlocks {
  KvPool kv;
  PageTable table;
  const std::int32_t* first_tokens = nullptr;  // [request]
  int num_requests = 0;
  int max_new_blocks = 0;
  BlockSummary summary;
};

cudaError_t summarize_blocks(const SummarizeBlocks& args, cudaStream_t stream);

// What the driver knows of the kernel that summarize_blocks() launches for a pool of this type and head_dim.
cudaError_t summarize_blocks_attributes(KvType type, int head_dim, cudaFuncAttributes& attributes);

}  // namespace vortex::cuda
