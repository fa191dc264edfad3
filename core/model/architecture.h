#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"

namespace vortex::model {

// What distinguishes one decoder architecture from another. A new one is one file and one line in architecture.cpp.
struct Architecture {
  std::string_view name;  // as config.json's "architectures" spells it

  // Fills the members of `config` that are particular to the architecture and refuses variants it does not cover.
  Status (*read_config)(const nlohmann::json& json, ModelConfig& config);

  // Finds every tensor that `config` asks for and checks its shape.
  Result<Weights> (*collect)(const ModelConfig& config, const std::map<std::string, Tensor>& tensors);
};

// The architecture of that name, or null.
const Architecture* find_architecture(std::string_view name);
std::vector<std::string> architecture_names();

// The tensor `name` of the given shape. Absent or differently shaped ones are refused.
Result<Tensor> find_tensor(const std::map<std::string, Tensor>& tensors, const std::string& name,
                           const std::vector<int64_t>& shape);

// The embedding, the final norm and the head, under the names that Llama introduced.
Result<Weights> collect_around_layers(const ModelConfig& config, const std::map<std::string, Tensor>& tensors);

// The weights under the names that Llama introduced and its descendants keep ("model.layers.0.self_attn.q_proj.weight"
// and so on): with q_norm and k_norm when config.qk_norm, with biases of q, k and v when config.qkv_bias.
Result<Weights> collect_llama_names(const ModelConfig& config, const std::map<std::string, Tensor>& tensors);

// Refuses a config.json that sets `key` to anything but false, null or 0, naming the key.
Status refuse_option(const nlohmann::json& json, const char* key);

extern const Architecture kDeepseekV2;
extern const Architecture kDeepseekV3;
extern const Architecture kGlm4MoeLite;
extern const Architecture kLlama;
extern const Architecture kQwen2;
extern const Architecture kQwen3;

}  // namespace vortex::model
