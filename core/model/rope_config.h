#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "core/model/model.h"

namespace vortex::model {

// Reads the rotary settings of a config.json into `config`, whose max_position_embeddings is known: newer files keep
// them in one object ("rope_parameters"), older ones beside the rest and in "rope_scaling". Errors: candidate; kinds of
// scaling that are not covered are refused by name.
Status read_rope(const nlohmann::json& object, bool partial, ModelConfig& config);

}  // namespace vortex::model
