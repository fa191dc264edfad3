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
// / sqrt(mean(x^2) + epsilon) * weight), or with factors of all heads together; then the first `rotated` dimensions are
// rotated (i with i + rotated / 2); q is written out, k and v are stored at the token's place. Supported: head_dim in
// {64, 128}. Started early, it reads everything but qkv and the factors while the kernel before it still runs.
struct KvAppend {
  const Bf16* qkv = nullptr;        // [token][q heads, k heads, v heads][head_dim]
  const Bf16* bias = nullptr;       // [q heads, k heads, v heads][head_dim], or null
  const Bf16* q_norm = nullptr;     // [head_dim], or null; with `factors` [q head][head_dim]
  const Bf16* k_norm = nullptr;     // [head_dim], or null; with `factors` [kv head][head_dim]
  const float2* factors = nullptr;  // [token], of q and of k: what they are multiplied by, not their own norm; or null
  float epsilon = 1e-6F;
  const float2* rope = nullptr;  // [position][rotated / 2], (cos, sin)
  int rotated = 0;               // even; 0: all of a head
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

// factors[token] = (1 / sqrt(mean(q^2) + epsilon), the same of k), over all heads of the token together.
struct HeadFactors {
  const Bf16* qkv = nullptr;  // as KvAppend has it; head_dim a multiple of 8
  float2* factors = nullptr;
  int num_tokens = 0;
  int num_q_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  float epsilon = 1e-6F;
};

cudaError_t head_factors(const HeadFactors& args, cudaStream_t stream);

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
