#include <string>

#include "core/model/architecture.h"

namespace vortex::model {

Status check_expert_choice(const Experts& experts) {
  if (experts.per_token <= experts.count) { return ok_status(); }
  return candidate_error("config.json: num_experts_per_tok " + std::to_string(experts.per_token) +
                         " is more than the " + std::to_string(experts.count) + " experts");
}

Result<MlpWeights> collect_mlp(const ModelConfig& config, const std::map<std::string, Tensor>& tensors,
                               const std::string& prefix, const ExpertNames& names, int64_t inner) {
  const auto find = [&](const char* name, int64_t rows, int64_t cols) {
    return find_tensor(tensors, prefix + name + ".weight", {rows, cols});
  };
  MlpWeights weights;
  VORTEX_ASSIGN(weights.gate, find(names.gate, inner, config.hidden_size));
  VORTEX_ASSIGN(weights.up, find(names.up, inner, config.hidden_size));
  VORTEX_ASSIGN(weights.down, find(names.down, config.hidden_size, inner));
  return weights;
}

Status collect_experts(const ModelConfig& config, const std::map<std::string, Tensor>& tensors,
                       const std::string& prefix, const ExpertNames& names, LayerWeights& weights) {
  const Experts& e = *config.experts;
  const std::string layer = prefix + names.layer;
  VORTEX_ASSIGN(weights.router, find_tensor(tensors, layer + "gate.weight", {e.count, config.hidden_size}));
  if (e.bias) { VORTEX_ASSIGN(weights.router_bias, find_tensor(tensors, layer + names.bias, {e.count})); }
  for (int expert = 0; expert < e.count; ++expert) {
    const std::string one = layer + "experts." + std::to_string(expert) + ".";
    VORTEX_ASSIGN(MlpWeights mlp, collect_mlp(config, tensors, one, names, e.inner));
    weights.experts.push_back(std::move(mlp));
  }
  return ok_status();
}

}  // namespace vortex::model
