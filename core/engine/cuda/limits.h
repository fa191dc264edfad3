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

// Tokens of a prompt that go through the layers together, at most: for models whose layers are plain, whose products
// need many rows to fill a GPU, and for the others, whose buffers grow faster.
inline constexpr int kLongPromptChunk = 4096;
inline constexpr int kPromptChunk = 1024;

// Rows that the products of a prompt have at least: with fewer, other kernels would be taken, with other bits.
inline constexpr int kLeastPromptRows = 192;

// Prompts that go through the layers together, at most: as many as the smallest product of logits has rows, so that it
// is the same product whether it is one or all.
inline constexpr int kMostPromptsTogether = 8;

// The chunk for such a model and context; `wanted`, if not 0, is taken as far as it goes.
int prompt_chunk_of(const model::ModelConfig& model, int max_context, int wanted);

// Can the cache of such a model be of this type?
Status check_kv_type(const model::ModelConfig& model, vflow::Dtype type);

}  // namespace vortex::engine
