#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/engine/packed_model.h"
#include "core/engine/prefix.h"
#include "kernels/cpu/parallel.h"

namespace vortex::engine {

// Gets the logits [vocab] behind token `position` of a prompt; they are valid for the call.
using PromptReader = std::function<void(int position, std::span<const float> logits)>;

// Dense causal forward pass of `prompt`; 1 <= size <= the positions that the model was packed for. The result does not
// depend on the number of threads. With a reader, the logits of every position are computed and read in order.
Prefix prefill(const PackedModel& model, std::span<const int32_t> prompt, cpu::ThreadPool* pool,
               const PromptReader& read = {});

}  // namespace vortex::engine
