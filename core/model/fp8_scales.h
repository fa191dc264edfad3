// Checkpoints whose matrices are in fp8 (E4M3) with a scale for each block of 128x128 weights or so, as DeepSeek-V3
// (arXiv:2412.19437, section 3.3), MiniMax-M2 and Qwen3's FP8 releases are: a weight is its number times its block's
// scale. Scales lie beside a matrix NAME as NAME_scale_inv, [blocks of rows][blocks of columns], float32 or bfloat16.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "core/model/weights.h"

namespace vortex::model {

// The blocks of config.json's quantization_config. Errors: candidate; any other way of storing weights, by name.
Result<ScaleBlock> read_scale_block(const nlohmann::json& quantisation);

// Gives every fp8 tensor its scales. A block of no rows: config.json says nothing of them. Errors: candidate; a tensor
// whose scales are missing or of another shape, by name.
Status attach_scales(const ScaleBlock& block, std::map<std::string, Tensor>& tensors);

}  // namespace vortex::model
