// Latent attention (MLA; DeepSeek-V2, arXiv:2405.04434): a token leaves one row in the cache for all heads, its latent
// c, normed, and behind it one rotated key r. Head h has the key [K_h c | r] and the value V_h c, but neither is made:
// queries are turned round once, q.K_h c = (K_h^T q).c, and what is attended is a mean of latents, which V_h turns into
// the head's output.
//
// The pool is a KvPool of one head without `v`: k [page][1][block][kv_rank + rope_dim], bf16.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

// How the part of a query or key that has a position is rotated.
struct Rotation {
  const float2* table = nullptr;  // [position][dim / 2], (cos, sin)
  int dim = 0;                    // even; 0: nothing is rotated
  bool interleaved = true;        // elements 2i and 2i + 1 turn together, not i and i + dim / 2
};

// From the first projection to the pool. Of each token: the latent is RMS-normed (x / sqrt(mean(x^2) + epsilon) *
// weight), the key behind it rotated, both rounded and stored at the token's place; where the queries have a latent of
// their own, that is normed into q_latent. Supported: ranks of at most 2048.
// Started early, it reads everything but `projected` while the kernel before it still runs.
struct LatentAppend {
  const Bf16* projected = nullptr;  // [token][stride]: the queries' latent [q_rank] first, the cached row at latent_at
  int stride = 0;
  int latent_at = 0;
  int q_rank = 0;                // 0: queries have none
  const Bf16* q_norm = nullptr;  // [q_rank]
  const Bf16* k_norm = nullptr;  // [kv_rank]
  int kv_rank = 0;
  float epsilon = 1e-6F;
  Rotation rotation;
  // As KvAppend has them.
  const std::int32_t* requests = nullptr;
  const std::int32_t* positions = nullptr;
  const std::uint8_t* active = nullptr;
  int num_tokens = 0;
  Bf16* q_latent = nullptr;  // [token][q_rank]
  KvPool kv;
  PageTable table;
};

cudaError_t append_latent(const LatentAppend& args, cudaStream_t stream);

// A matrix product a head: y[row][head][i] = sum_j x[row][head][j] w[head][i][j], i < n, j < k, summed in fp32 in an
// order that depends on n and k alone, rounded once. Where something is rotated, elements [k, k + dim) of x's heads go,
// rotated to the row's position, to [n, n + dim) of y's; rows of a position below 0 leave them alone.
// Quick where k is a multiple of 32, n of 16 and everything lies on 16 bytes; any other shape takes its time. Weights
// are fetched before the kernels before it on the stream are done: nothing may write them meanwhile.
struct HeadProducts {
  const Bf16* w = nullptr;  // [head][n][k]
  const Bf16* x = nullptr;
  std::int64_t x_row = 0;   // elements from row to row,
  std::int64_t x_head = 0;  // and from head to head
  Bf16* y = nullptr;
  std::int64_t y_row = 0;
  std::int64_t y_head = 0;
  int rows = 0;
  int heads = 0;
  int n = 0;
  int k = 0;
  Rotation rotation;
  const std::int32_t* positions = nullptr;  // [row], or null:
  const std::int32_t* lengths = nullptr;    // [row], one more than the position
};

cudaError_t head_products(const HeadProducts& args, cudaStream_t stream);

// out[row][h] = sum_t softmax_t(scale * q[row][h] . k_t) (the first value_dim elements of k_t) over the tokens t that
// the row sees: of a decode step, row b is request b and sees what DecodeAttention's does; of a prompt, row r is the
// token at position first + r of request 0 and sees the tokens up to itself. Rows that see nothing give 0 and lse =
// -inf. Products in bf16 (weights of the softmax are rounded to it), sums in fp32.
// Quick for latents of 512 + 64, 256 + 32 and 512 + 0 elements, any number of heads (each 32 beyond the first 32 read
// the row again), blocks of a multiple of 16; other shapes up to 1024 elements take a plain kernel.
// Started early, it reads the lengths while the kernel before it still runs.
struct LatentAttention {
  const Bf16* q = nullptr;  // [row][head][head_dim of kv]
  Bf16* out = nullptr;      // [row][head][value_dim]
  float* lse = nullptr;     // [row][head], natural log of the softmax denominator; may be null
  KvPool kv;
  int value_dim = 0;
  PageTable table;      // of a prompt: request 0's pages; lengths are not read
  Selection selection;  // of a decode step
  bool prompt = false;
  int first = 0;
  int rows = 0;
  int num_q_heads = 0;
  float scale = 1.0F;
};

// How latents of 512 + 64 elements come to shared memory: 16 tokens a tensor copy, or a copy a token, as other latents
// do. It changes no bit; the second is there to be compared with.
enum class LatentCopies : std::uint8_t { boxes, tokens };

// `parts` thread blocks share a row, tile i of 32 tokens going to block i % parts, and leave their sums in device
// memory, where a second kernel merges them in order; one alone writes its row itself. Two calls with one schedule that
// visit the same tokens give the same bits, whatever the batch is and whether the blocks were selected or dense. A
// prompt's rows are not shared. (A cluster, which could merge through distributed shared memory, must have its blocks
// side by side: with one block a multiprocessor, 32 clusters of four do not run at once on 132 of them.)
struct LatentSchedule {
  int parts = 8;               // at most kMaxLatentParts
  float* workspace = nullptr;  // latent_workspace_floats() of them where parts > 1
  LatentCopies copies = LatentCopies::boxes;
};

inline constexpr int kMaxLatentParts = 16;

// Floats of workspace for so many rows.
constexpr std::int64_t latent_workspace_floats(int rows, int num_q_heads, int value_dim, int parts) {
  return parts > 1 ? static_cast<std::int64_t>(rows) * num_q_heads * parts * (value_dim + 2) : 0;
}

// As many thread blocks a row as `rows` leave multiprocessors for. Depends on nothing else.
int plan_latent_parts(int rows, int num_q_heads, int num_sms);

// Does the quick kernel take such a pool?
bool latent_attention_is_quick(const KvPool& kv, int value_dim);

cudaError_t latent_attention(const LatentAttention& args, const LatentSchedule& schedule, cudaStream_t stream);

}  // namespace vortex::cuda
