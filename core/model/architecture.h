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

  // May a part of each head be without a position (partial_rotary_factor)?
  bool partial_rotary = false;
};

// The architecture of that name, or null.
const Architecture* find_architecture(std::string_view name);
std::vector<std::string> architecture_names();

// The tensor `name` of the given shape. Absent or differently shaped ones are refused.
Result<Tensor> find_tensor(const std::map<std::string, Tensor>& tensors, const std::string& name,
                           const std::vector<int64_t>& shape);

// The embedding, the final norm and the head, under the names that Llama introduced.
Result<Weights> collect_around_layers(const ModelConfig& config, const std::map<std::string, Tensor>& tensors);

// What a family calls the parts of a layer with experts, behind "model.layers.0.".
struct ExpertNames {
  const char* layer;  // what all names begin with; then "gate.weight", "experts.0." and so on
  const char* bias;   // the correction
  const char* gate;
  const char* up;
  const char* down;
};
inline constexpr ExpertNames kQwenExperts = {"mlp.", "gate.e_score_correction_bias", "gate_proj", "up_proj",
                                             "down_proj"};
inline constexpr ExpertNames kMixtralExperts = {"block_sparse_moe.", "e_score_correction_bias", "w1", "w3", "w2"};

// The router and the experts of a layer whose names begin with `prefix`, without one that every token goes through.
Status collect_experts(const ModelConfig& config, const std::map<std::string, Tensor>& tensors,
                       const std::string& prefix, const ExpertNames& names, LayerWeights& weights);
// One MLP; `prefix` ends where its three names begin.
Result<MlpWeights> collect_mlp(const ModelConfig& config, const std::map<std::string, Tensor>& tensors,
                               const std::string& prefix, const ExpertNames& names, int64_t inner);
// Refuses more experts a token than there are.
Status check_expert_choice(const Experts& experts);

// The weights under the names that Llama introduced and its descendants keep ("model.layers.0.self_attn.q_proj.weight"
// and so on): with q_norm and k_norm when config.qk_norm says so, with biases of q, k and v when config.qkv_bias, with
// experts in the layers that have them.
Result<Weights> collect_llama_names(const ModelConfig& config, const std::map<std::string, Tensor>& tensors,
                                    const ExpertNames& names);
Result<Weights> collect_llama_names(const ModelConfig& config, const std::map<std::string, Tensor>& tensors);

// Refuses a config.json that sets `key` to anything but false, null or 0, naming the key.
Status refuse_option(const nlohmann::json& json, const char* key);

extern const Architecture kDeepseekV2;
extern const Architecture kDeepseekV3;
extern const Architecture kGlm4MoeLite;
extern const Architecture kLlama;
extern const Architecture kMinimaxM2;
extern const Architecture kQwen2;
extern const Architecture kQwen3;
extern const Architecture kQwen3Moe;

}  // namespace vortex::model
