// Qwen3's decoders with experts (Qwen3 Technical Report, arXiv:2505.09388): Qwen3 dense with a choice of experts, by
// softmax over all of them, in place of the MLP.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/model/architecture.h"
#include "core/model/config_json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

// Every layer has experts, or every so many-th; a list may take some of them out.
Status read_sparse_layers(const json& object, ModelConfig& config) {
  VORTEX_ASSIGN(const int every, read_size_or(object, "decoder_sparse_step", 1));
  const json dense = value_or(object, "mlp_only_layers", json::array());
  const auto is_layer = [&](const json& i) { return i.is_number_integer() && i >= 0 && i < config.num_layers; };
  if (!dense.is_array() || !std::all_of(dense.begin(), dense.end(), is_layer)) {
    return candidate_error("config.json: mlp_only_layers must be a list of layers, not " + dense.dump());
  }
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const bool listed = std::find(dense.begin(), dense.end(), json(layer)) != dense.end();
    config.experts->layers.push_back(!listed && (layer + 1) % every == 0);
  }
  return ok_status();
}

Status read_config(const json& object, ModelConfig& config) {
  config.qk_norm = QkNorm::kEachHead;
  VORTEX_TRY(refuse_option(object, "attention_bias"));
  VORTEX_TRY(refuse_option(object, "use_sliding_window"));
  Experts experts;
  VORTEX_ASSIGN(experts.count, read_size(object, "num_experts"));
  VORTEX_ASSIGN(experts.per_token, read_size(object, "num_experts_per_tok"));
  VORTEX_ASSIGN(experts.inner, read_size(object, "moe_intermediate_size"));
  VORTEX_ASSIGN(experts.normalised, read_flag(object, "norm_topk_prob", false));
  experts.score = ExpertScore::kSoftmax;
  config.experts = std::move(experts);
  VORTEX_TRY(check_expert_choice(*config.experts));
  return read_sparse_layers(object, config);
}

Result<Weights> collect(const ModelConfig& config, const std::map<std::string, Tensor>& tensors) {
  return collect_llama_names(config, tensors, kQwenExperts);
}

}  // namespace

const Architecture kQwen3Moe = {"Qwen3MoeForCausalLM", read_config, collect};

}  // namespace vortex::model
