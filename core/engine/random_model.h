#pragma once

#include <cstdint>

#include "core/model/model.h"

namespace vortex::engine {

// Random weights of `config`'s shape, in host memory; the hash is "random".
model::Model random_model(const model::ModelConfig& config, uint64_t seed);

}  // namespace vortex::engine
