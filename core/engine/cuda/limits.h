// Sizes that the CUDA engine is built for.
#pragma once

#include <array>

#include "base/result.h"
#include "core/model/model.h"
#include "core/vflow/config/config.h"

namespace vortex::engine {

// Batches for which a step's graph may be captured; the last one is the largest.
inline constexpr std::array kCudaBatchSizes = {1,  2,   4,   8,   16,  24,  32,  40,  48,  56,  64,  72,  80,  88,
                                               96, 104, 112, 120, 128, 144, 160, 192, 224, 256, 320, 384, 448, 512};

inline constexpr int kPromptChunk = 1024;  // tokens of a prompt that go through the layers together

// Can the cache of such a model be of this type?
Status check_kv_type(const model::ModelConfig& model, vflow::Dtype type);

}  // namespace vortex::engine
