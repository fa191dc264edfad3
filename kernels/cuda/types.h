// What every CUDA kernel of this folder agrees on: element types, the paged KV pool, page tables and selections.
//
// Pointers are device pointers unless a comment says otherwise; nothing here owns memory. Functions enqueue on the
// given stream, never synchronise, and return the CUDA error of checking their arguments (cudaErrorInvalidValue), of an
// unsupported shape (cudaErrorNotSupported), or of the launch.
//
// Terms: a *block* holds `block` consecutive tokens of one kv head; a *page* is its physical place in the pool; a *row*
// is (request, kv head), row = request * num_kv_heads + kv head.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace vortex::cuda {

using Bf16 = __nv_bfloat16;

enum class KvType : std::uint8_t { bf16, fp8_e4m3, fp8_e5m2, fp32 };

// Bytes of one element.
constexpr int kv_type_size(KvType type) { return type == KvType::fp32 ? 4 : type == KvType::bf16 ? 2 : 1; }

// K and V of every request: each [page][kv head][block][head_dim] of `type`, so that a page of one kv head is
// contiguous. A stored fp8 element x stands for x * scale; the scales are 1 for bf16
// and fp32. Latent attention has no V: the latent, which is both, is K of one head (latent.h).
struct KvPool {
  void* k = nullptr;
  void* v = nullptr;
  KvType type = KvType::bf16;
  int num_kv_heads = 0;
  int block = 0;  // tokens, a multiple of 16
  int head_dim = 0;
  float k_scale = 1.0F;
  float v_scale = 1.0F;
};

// Where each request's tokens are. Slots of `pages` past the request's last block may hold anything.
struct PageTable {
  const std::int32_t* pages = nullptr;    // [request][max_blocks], physical page of each logical block
  const std::int32_t* lengths = nullptr;  // [request], tokens, the newest included; 0 for an idle request
  int max_blocks = 0;
};

// The logical blocks that each row attends to, ascending, the last one being the row's true last block.
// blocks == nullptr means dense: all of them.
struct Selection {
  const std::int32_t* blocks = nullptr;  // [row][max_selected]
  const std::int32_t* counts = nullptr;  // [row]
  int max_selected = 0;
};

}  // namespace vortex::cuda
