// MiniMax-M2 and its successors M2.1, M2.5 and M2.7, which have one geometry: grouped-query attention with an RMSNorm
// over all query heads together and one over all key heads, the front half of each head rotated, and in every layer a
// choice of experts by sigmoid with a correction. What predicts further tokens lies behind the last layer and is left
// alone. Source: the models' config.json and transformers' MiniMaxM2Config.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/model/architecture.h"
#include "core/model/config_json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

Status read_norm(const json& object, ModelConfig& config) {
  VORTEX_ASSIGN(const bool there, read_flag(object, "use_qk_norm", true));
  if (!there) { return ok_status(); }
  const json kind = value_or(object, "qk_norm_type", "per_layer");
  if (kind != "per_layer" && kind != "per_head") {
    return candidate_error("config.json: qk_norm_type " + kind.dump() + " is not supported");
  }
  config.qk_norm = kind == "per_layer" ? QkNorm::kAllHeads : QkNorm::kEachHead;
  return ok_status();
}

// "rotary_dim", where partial_rotary_factor has not said it.
Status read_rotated(const json& object, ModelConfig& config) {
  VORTEX_ASSIGN(const int rotated, read_size_or(object, "rotary_dim", config.rotary_dim()));
  if (rotated > config.head_dim || rotated % 2 != 0) {
    return candidate_error("config.json: rotary_dim must be even and at most head_dim, not " + std::to_string(rotated));
  }
  config.rotated = rotated;
  return ok_status();
}

// Layers of linear attention were MiniMax-M1's; the list has a 1 for each layer of softmax attention.
Status check_layer_kinds(const json& object, int layers) {
  const json kinds = value_or(object, "attn_type_list", json::array());
  if (kinds.is_array() && !kinds.empty() && kinds.size() != static_cast<size_t>(layers)) {
    return candidate_error("config.json: attn_type_list must name every one of the " + std::to_string(layers) +
                           " layers");
  }
  if (kinds.is_array() && std::all_of(kinds.begin(), kinds.end(), [](const json& kind) { return kind == 1; })) {
    return ok_status();
  }
  return candidate_error("config.json: attn_type_list has layers of another kind than 1, which are not supported");
}

Status read_config(const json& object, ModelConfig& config) {
  VORTEX_TRY(read_norm(object, config));
  VORTEX_TRY(read_rotated(object, config));
  VORTEX_TRY(check_layer_kinds(object, config.num_layers));
  VORTEX_TRY(refuse_option(object, "shared_intermediate_size"));
  VORTEX_TRY(refuse_option(object, "sliding_window"));
  const json score = value_or(object, "scoring_func", "sigmoid");
  if (score != "sigmoid") {
    return candidate_error("config.json: scoring_func " + score.dump() + " is not supported for " +
                           config.architecture);
  }
  Experts experts;
  VORTEX_ASSIGN(experts.count, read_size(object, "num_local_experts"));
  VORTEX_ASSIGN(experts.per_token, read_size(object, "num_experts_per_tok"));
  VORTEX_ASSIGN(experts.bias, read_flag(object, "use_routing_bias", true));
  experts.inner = config.intermediate_size;
  experts.score = ExpertScore::kSigmoid;
  experts.normalised = true;
  experts.layers.assign(static_cast<size_t>(config.num_layers), true);
  config.experts = std::move(experts);
  return check_expert_choice(*config.experts);
}

Result<Weights> collect(const ModelConfig& config, const std::map<std::string, Tensor>& tensors) {
  return collect_llama_names(config, tensors, kMixtralExperts);
}

}  // namespace

const Architecture kMinimaxM2 = {"MiniMaxM2ForCausalLM", read_config, collect, true};

}  // namespace vortex::model
