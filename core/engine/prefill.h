#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/engine/kv_pool.h"
#include "core/engine/packed_model.h"
#include "core/engine/prefix.h"
#include "kernels/cpu/parallel.h"

namespace vortex::engine {

// Dense causal forward pass of `prompt`; 1 <= size <= the positions that the model was packed for. The result does not
// depend on the number of threads.
Prefix prefill(const PackedModel& model, std::span<const int32_t> prompt, cpu::ThreadPool* pool);

// Tokens of a prompt whose K and V belong into `pages`, where those of earlier tokens are already.
struct PromptChunk {
  std::span<const int32_t> prompt;
  std::span<const int32_t> pages;  // of all tokens up to the chunk's end, at least
  TokenRange range;                // at least one token
};

// Gets the logits [vocab] behind token `position` of a prompt; they are valid for the call.
using PromptReader = std::function<void(int position, std::span<const float> logits)>;

// A chunk of that pass over the pages of a pool. Chunk after chunk gives the bits of the whole prompt, however it is
// cut. The prompt's last chunk gives `logits` [vocab] behind it. With a reader, the logits of every token are computed
// and read in order.
void prefill_chunk(const PackedModel& model, const PromptChunk& chunk, KvPool& pages, cpu::ThreadPool* pool,
                   std::vector<float>& logits, const PromptReader& read = {});

}  // namespace vortex::engine
