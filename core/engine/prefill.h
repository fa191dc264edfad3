#pragma once

#include <cstdint>
#include <span>

#include "core/engine/packed_model.h"
#include "core/engine/prefix.h"
#include "kernels/cpu/parallel.h"

namespace vortex::engine {

// Dense causal forward pass of `prompt`; 1 <= size <= the positions that the model was packed for. The result does not
// depend on the number of threads.
Prefix prefill(const PackedModel& model, std::span<const int32_t> prompt, cpu::ThreadPool* pool);

}  // namespace vortex::engine
