#include "core/model/architecture.h"

namespace vortex::model {
namespace {

Result<LayerWeights> collect_layer(const ModelConfig& c, const std::map<std::string, Tensor>& tensors,
                                   const ExpertNames& names, int layer) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const int64_t hidden = c.hidden_size;
  const int64_t q_size = static_cast<int64_t>(c.num_q_heads) * c.head_dim;
  const int64_t kv_size = static_cast<int64_t>(c.num_kv_heads) * c.head_dim;
  const auto find = [&](const std::string& name, const std::vector<int64_t>& shape) {
    return find_tensor(tensors, prefix + name + ".weight", shape);
  };
  const auto find_bias = [&](const std::string& name, int64_t size) {
    return find_tensor(tensors, prefix + name + ".bias", {size});
  };
  LayerWeights weights;
  VORTEX_ASSIGN(weights.attention_norm, find("input_layernorm", {hidden}));
  VORTEX_ASSIGN(weights.q, find("self_attn.q_proj", {q_size, hidden}));
  VORTEX_ASSIGN(weights.k, find("self_attn.k_proj", {kv_size, hidden}));
  VORTEX_ASSIGN(weights.v, find("self_attn.v_proj", {kv_size, hidden}));
  if (c.qkv_bias) {
    VORTEX_ASSIGN(weights.q_bias, find_bias("self_attn.q_proj", q_size));
    VORTEX_ASSIGN(weights.k_bias, find_bias("self_attn.k_proj", kv_size));
    VORTEX_ASSIGN(weights.v_bias, find_bias("self_attn.v_proj", kv_size));
  }
  if (c.qk_norm != QkNorm::kNone) {
    const bool each = c.qk_norm == QkNorm::kEachHead;
    VORTEX_ASSIGN(weights.q_norm, find("self_attn.q_norm", {each ? c.head_dim : q_size}));
    VORTEX_ASSIGN(weights.k_norm, find("self_attn.k_norm", {each ? c.head_dim : kv_size}));
  }
  VORTEX_ASSIGN(weights.o, find("self_attn.o_proj", {hidden, q_size}));
  VORTEX_ASSIGN(weights.mlp_norm, find("post_attention_layernorm", {hidden}));
  if (c.has_experts(layer)) {
    VORTEX_TRY(collect_experts(c, tensors, prefix, names, weights));
  } else {
    VORTEX_ASSIGN(weights.mlp, collect_mlp(c, tensors, prefix + names.layer, names, c.intermediate_size));
  }
  return weights;
}

}  // namespace

Result<Weights> collect_around_layers(const ModelConfig& config, const std::map<std::string, Tensor>& tensors) {
  const std::vector<int64_t> table = {config.vocab_size, config.hidden_size};
  Weights weights;
  VORTEX_ASSIGN(weights.embedding, find_tensor(tensors, "model.embed_tokens.weight", table));
  VORTEX_ASSIGN(weights.final_norm, find_tensor(tensors, "model.norm.weight", {config.hidden_size}));
  if (weights.embedding.scales != nullptr) {
    return candidate_error("the checkpoint's embedding is in fp8, which is not supported");
  }
  weights.head = weights.embedding;
  if (!config.tie_word_embeddings) { VORTEX_ASSIGN(weights.head, find_tensor(tensors, "lm_head.weight", table)); }
  return weights;
}

Result<Weights> collect_llama_names(const ModelConfig& config, const std::map<std::string, Tensor>& tensors) {
  return collect_llama_names(config, tensors, kQwenExperts);
}

Result<Weights> collect_llama_names(const ModelConfig& config, const std::map<std::string, Tensor>& tensors,
                                    const ExpertNames& names) {
  VORTEX_ASSIGN(Weights weights, collect_around_layers(config, tensors));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    VORTEX_ASSIGN(LayerWeights layer_weights, collect_layer(config, tensors, names, layer));
    weights.layers.push_back(std::move(layer_weights));
  }
  return weights;
}

}  // namespace vortex::model
