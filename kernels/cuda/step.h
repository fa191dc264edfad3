// Bookkeeping of a decode step on the device: what each slot of the batch decodes next, and counters of what was done.
#pragma once

#include "kernels/cuda/types.h"

namespace vortex::cuda {

inline constexpr int kTokenRing = 32;  // tokens a slot keeps until the host has read them; a power of two
inline constexpr int kMaxStopTokens = 8;

// The state of every slot of the batch, one array a member, [slot]. A slot without a request has length 0 and
// new_tokens 0.
struct Slots {
  std::int32_t* lengths = nullptr;      // tokens in the cache
  std::int32_t* new_tokens = nullptr;   // 1: decodes in the next step; 0: idle, ended, or held back by the host
  std::int32_t* next_tokens = nullptr;  // sampled last, not in the cache yet
  std::int32_t* remaining = nullptr;    // tokens that may still be sampled
  std::int32_t* produced = nullptr;     // tokens sampled since admission
  std::int32_t* stopped = nullptr;      // 1 once a stop token was sampled
  std::int32_t* ignores_stops = nullptr;
  std::int32_t* top_k = nullptr;
  float* temperatures = nullptr;
  float* top_p = nullptr;
  std::uint64_t* seeds = nullptr;
  std::uint64_t* request_ids = nullptr;
  std::int32_t* ring = nullptr;  // [slot][kTokenRing]; token i of a request is at i % kTokenRing
};

// Fills the rows of the step: out[i] = table[tokens[i]]; and, where `granted` is given, the lengths that the step's
// kernels see: lengths[i] where granted[i], else 0, so that a slot that waits costs nothing.
struct EmbedRows {
  const Bf16* table = nullptr;  // [vocab][width]
  const std::int32_t* tokens = nullptr;
  Bf16* out = nullptr;  // [row][width]
  int rows = 0;
  int width = 0;  // a multiple of 8
  const std::uint8_t* granted = nullptr;
  const std::int32_t* lengths = nullptr;
  std::int32_t* step_lengths = nullptr;
};

cudaError_t embed_rows(const EmbedRows& args, cudaStream_t stream);

// Takes over the tokens just sampled into next_tokens, of slots [first, first + count): puts them in the ring, counts
// down what remains, and ends a request at its last token or at a stop token.
struct EndStep {
  Slots slots;
  const std::uint8_t* granted = nullptr;  // [slot]; null: all of the range
  int first = 0;
  int count = 0;
  std::int32_t stop_tokens[kMaxStopTokens] = {};
  int num_stop_tokens = 0;
};

cudaError_t end_step(const EndStep& args, cudaStream_t stream);

struct PageCounters {
  std::int64_t calls = 0;     // (request, step) pairs
  std::int64_t visible = 0;   // blocks of all rows
  std::int64_t attended = 0;  // blocks attended
  std::int64_t tokens = 0;    // tokens attended
  std::int64_t scored = 0;    // blocks scored
};

// Adds what one step attended to the counters of each layer. A row is (slot, kv head); rows of length 0 do not count.
struct CountPages {
  const std::int32_t* step_lengths = nullptr;  // [slot]
  const std::int32_t* counts = nullptr;        // [layer][max_slots * kv heads] blocks selected
  const std::uint8_t* selects = nullptr;       // [layer]; 0: dense, all blocks
  int slots = 0;
  int max_slots = 0;
  int num_kv_heads = 0;
  int layers = 0;
  int block = 0;
  int unscored = 0;                  // blocks of a row that are never scored
  PageCounters* counters = nullptr;  // [layer]
};

cudaError_t count_pages(const CountPages& args, cudaStream_t stream);

// Copies rows of a page table: slot to[i] gets the first max_blocks entries of slot from[i]. No slot is in both lists.
cudaError_t move_table_rows(std::int32_t* table, int max_blocks, const std::int32_t* from, const std::int32_t* to,
                            int count, cudaStream_t stream);

}  // namespace vortex::cuda
