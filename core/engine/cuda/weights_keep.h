// What a keeper of weights does on a CUDA device, and what a worker makes of it.
#pragma once

#include <memory>

#include "base/result.h"
#include "core/engine/cuda/weights_memory.h"
#include "core/engine/kept_model.h"
#include "core/model/model.h"

namespace vortex::engine {

// The model's weights on device `device`, as upload_model() lays them out; a model without weights gets random ones.
Result<ExportedMemory> keep_weights(const model::Model& model, int device = 0);

// A block of prompts' KV that is not empty, on the current device.
Result<ExportedMemory> keep_prefixes(const PrefixBlock& block);

// Bytes that the current device has free.
Result<int64_t> free_device_bytes();

}  // namespace vortex::engine
