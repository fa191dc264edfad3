// Exact, deterministic selection of blocks by score, and the block top-k policy with scoring fused in.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

enum class ScoreType : std::uint8_t { bf16, fp32 };

// Which blocks of a row compete. With n = ceil(length / block) blocks and sel = min(budget, n) (budgets below
// reserved_bos + reserved_eos count as that, budgets above max_selected as max_selected):
//   n <= sel: all blocks, in order.
//   else:     the first `reserved_bos`, the last `reserved_eos`, and the sel - bos - eos best of those between.
struct SelectionRule {
  const std::int32_t* lengths = nullptr;  // [request], tokens
  const std::int32_t* budgets = nullptr;  // [request], blocks, reserved ones included
  int num_requests = 0;
  int num_kv_heads = 0;
  int block = 0;
  int reserved_bos = 0;
  int reserved_eos = 1;  // at least 1: the last block is always attended
};

// Where the selected blocks go; ascending in each row.
struct SelectionOutput {
  std::int32_t* blocks = nullptr;  // [row][max_selected]
  std::int32_t* counts = nullptr;  // [row]
  int max_selected = 0;
};

// Larger scores win, equal scores go to the lower block; -0 equals 0 and NaN is below everything.
struct SelectBlocks {
  const void* scores = nullptr;  // [row][max_blocks], by logical block; only the competing blocks are read
  ScoreType type = ScoreType::bf16;
  int max_blocks = 0;  // at most kMaxSelectableBlocks
  // 0 is exact. Otherwise (bf16 only) the search stops after the high byte of the order-preserving 16-bit key once at
  // least ceil((1 - tolerance) * k) winners are certain and fills up, lower block first, from the keys that share the
  // threshold's high byte: the recall is at least 1 - tolerance (vortex_torch's approxTopK, made deterministic).
  float tolerance = 0.0F;
};

inline constexpr int kMaxSelectableBlocks = 32768;

cudaError_t select_blocks(const SelectBlocks& args, const SelectionRule& rule, const SelectionOutput& out,
                          cudaStream_t stream);

// Block top-k: score of a block = mean over the query heads of the group of q . centroid, then exact selection; the
// scores stay in shared memory. Started early, it reads pages, lengths, budgets and the centroids of the blocks that
// compete while the kernel before it still runs: of all the kernels before, only the last that lets no successor come
// early, and those before that one, may have written them.
struct ScoreAndSelect {
  const Bf16* q = nullptr;              // [request][q head][head_dim]
  const Bf16* centroids = nullptr;      // [page][kv head][head_dim]
  const std::int32_t* pages = nullptr;  // [request][max_blocks]
  int max_blocks = 0;                   // at most kMaxSelectableBlocks
  int num_q_heads = 0;
  int head_dim = 0;         // 64 or 128
  bool round_bf16 = false;  // round scores to bf16 before selecting, as vortex_torch stores them
};

cudaError_t score_and_select(const ScoreAndSelect& args, const SelectionRule& rule, const SelectionOutput& out,
                             cudaStream_t stream);

// What the driver knows of the two kernels that score_and_select() chooses between: blocks of 256 and of 512 threads.
cudaError_t score_and_select_attributes(int head_dim, int threads, cudaFuncAttributes& attributes);

}  // namespace vortex::cuda
