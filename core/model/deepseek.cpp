// Decoders with latent attention and a choice of experts: DeepSeek-V2 (arXiv:2405.04434), DeepSeek-V3
// (arXiv:2412.19437) and those of its make, such as Moonlight, and GLM-4.7-Flash. They differ in how experts are scored
// and chosen. Layers behind the last one predict further tokens; they are left alone.
#include <nlohmann/json.hpp>

#include "core/model/architecture.h"
#include "core/model/config_json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr int64_t kMostShared = 1 << 24;  // as large as any other size may be

// What a config.json means that does not say it.
struct Family {
  ExpertScore score;
  GroupScore group_score;
  bool bias;
  bool normalised;
  double scale;
  int groups;
  int kept_groups;
  int dense_layers;  // before the first one with experts
};
constexpr Family kV2 = {ExpertScore::kSoftmax, GroupScore::kBest, false, false, 1.0, 1, 1, 0};
constexpr Family kV3 = {ExpertScore::kSigmoid, GroupScore::kBestTwo, true, true, 2.5, 8, 4, 3};
constexpr Family kGlm = {ExpertScore::kSigmoid, GroupScore::kBestTwo, true, true, 1.8, 1, 1, 1};

Status read_latent(const json& object, ModelConfig& config) {
  LatentAttention latent;
  VORTEX_ASSIGN(latent.q_rank, read_size_or(object, "q_lora_rank", 0));
  VORTEX_ASSIGN(latent.kv_rank, read_size(object, "kv_lora_rank"));
  VORTEX_ASSIGN(latent.nope_dim, read_size(object, "qk_nope_head_dim"));
  VORTEX_ASSIGN(latent.rope_dim, read_size(object, "qk_rope_head_dim"));
  VORTEX_ASSIGN(latent.value_dim, read_size(object, "v_head_dim"));
  VORTEX_ASSIGN(latent.interleaved, read_flag(object, "rope_interleave", true));
  // Published implementations disagree about these norms; the member is ours, for comparing with either.
  VORTEX_ASSIGN(latent.norm_eps, read_positive(object, "latent_norm_eps", config.rms_norm_eps));
  if (latent.rope_dim % 2 != 0) {
    return candidate_error("config.json: qk_rope_head_dim must be even, not " + std::to_string(latent.rope_dim));
  }
  config.num_kv_heads = 1;
  config.head_dim = latent.kv_rank + latent.rope_dim;
  config.latent = latent;
  return refuse_option(object, "attention_bias");
}

// Which layers have experts: listed, or all from some layer on.
Status read_layers(const json& object, const Family& family, ModelConfig& config) {
  std::vector<bool>& layers = config.experts->layers;
  const auto count = static_cast<size_t>(config.num_layers);
  if (has(object, "mlp_layer_types")) {
    const json& kinds = object["mlp_layer_types"];
    if (!kinds.is_array() || kinds.size() != count) {
      return candidate_error("config.json: mlp_layer_types must name every one of the " + std::to_string(count) +
                             " layers");
    }
    for (const json& kind : kinds) {
      if (kind != "dense" && kind != "sparse") {
        return candidate_error("config.json: MLP type " + kind.dump() + " is not supported");
      }
      layers.push_back(kind == "sparse");
    }
    return ok_status();
  }
  VORTEX_ASSIGN(const int first, read_count(object, "first_k_dense_replace", family.dense_layers));
  VORTEX_ASSIGN(const int every, read_size_or(object, "moe_layer_freq", 1));
  for (int layer = 0; layer < config.num_layers; ++layer) { layers.push_back(layer >= first && layer % every == 0); }
  return ok_status();
}

Status read_score(const json& object, const Family& family, Experts& experts) {
  const json score = value_or(object, "scoring_func", nullptr);
  experts.score = score == "softmax"   ? ExpertScore::kSoftmax
                  : score == "sigmoid" ? ExpertScore::kSigmoid
                                       : family.score;
  if (!score.is_null() && score != "softmax" && score != "sigmoid") {
    return candidate_error("config.json: scoring_func " + score.dump() + " is not supported");
  }
  const json method = value_or(object, "topk_method", family.bias ? "noaux_tc" : "greedy");
  const bool known = family.bias ? method == "noaux_tc" : method == "greedy" || method == "group_limited_greedy";
  if (!known) { return candidate_error("config.json: topk_method " + method.dump() + " is not supported"); }
  experts.bias = family.bias;
  experts.group_score = method == "greedy" ? GroupScore::kNone : family.group_score;
  return ok_status();
}

Status read_groups(const json& object, const Family& family, Experts& experts) {
  VORTEX_ASSIGN(experts.groups, read_size_or(object, "n_group", family.groups));
  VORTEX_ASSIGN(experts.kept_groups, read_size_or(object, "topk_group", family.kept_groups));
  if (experts.group_score == GroupScore::kNone || experts.groups == 1) {
    experts.groups = experts.kept_groups = 1;
    experts.group_score = GroupScore::kNone;
  }
  const int least = experts.group_score == GroupScore::kBestTwo ? 2 : 1;
  if (experts.count % experts.groups != 0 || experts.count / experts.groups < least ||
      experts.kept_groups > experts.groups) {
    return candidate_error("config.json: " + std::to_string(experts.count) + " experts (n_routed_experts) do not fit " +
                           std::to_string(experts.groups) + " groups (n_group), of which " +
                           std::to_string(experts.kept_groups) + " are kept (topk_group)");
  }
  if (experts.per_token > experts.count / experts.groups * experts.kept_groups) {
    return candidate_error("config.json: num_experts_per_tok " + std::to_string(experts.per_token) +
                           " is more than the groups that are kept have");
  }
  return ok_status();
}

Status read_experts(const json& object, const Family& family, ModelConfig& config) {
  if (!has(object, "n_routed_experts")) { return ok_status(); }
  config.experts.emplace();
  Experts& experts = *config.experts;
  VORTEX_ASSIGN(experts.count, read_size(object, "n_routed_experts"));
  VORTEX_ASSIGN(experts.per_token, read_size(object, "num_experts_per_tok"));
  VORTEX_ASSIGN(experts.inner, read_size(object, "moe_intermediate_size"));
  VORTEX_ASSIGN(const int shared, read_count(object, "n_shared_experts", 0));
  VORTEX_ASSIGN(experts.normalised, read_flag(object, "norm_topk_prob", family.normalised));
  VORTEX_ASSIGN(experts.scale, read_positive(object, "routed_scaling_factor", family.scale));
  const int64_t shared_inner = int64_t{shared} * experts.inner;
  if (shared_inner > kMostShared) {
    return candidate_error("config.json: n_shared_experts " + std::to_string(shared) + " is too many");
  }
  experts.shared_inner = static_cast<int>(shared_inner);
  if (experts.normalised && !family.normalised) {
    return candidate_error("config.json: norm_topk_prob true is not supported for " + config.architecture,
                           "published implementations disagree about what it means there");
  }
  VORTEX_TRY(read_layers(object, family, config));
  VORTEX_TRY(read_score(object, family, experts));
  return read_groups(object, family, experts);
}

template <const Family& family>
Status read_config(const json& object, ModelConfig& config) {
  VORTEX_TRY(read_latent(object, config));
  return read_experts(object, family, config);
}

// The tensors of one layer, under the names that DeepSeek-V2 introduced.
class LayerNames {
 public:
  LayerNames(const ModelConfig& config, const std::map<std::string, Tensor>& tensors, int layer)
      : c_(config), tensors_(tensors), prefix_("model.layers." + std::to_string(layer) + "."), layer_(layer) {}

  Result<LayerWeights> collect() const {
    LayerWeights weights;
    VORTEX_ASSIGN(weights.attention_norm, find("input_layernorm", {c_.hidden_size}));
    VORTEX_TRY(attention(weights));
    VORTEX_ASSIGN(weights.mlp_norm, find("post_attention_layernorm", {c_.hidden_size}));
    if (c_.has_experts(layer_)) {
      VORTEX_TRY(experts(weights));
    } else {
      VORTEX_ASSIGN(weights.mlp, collect_mlp(c_, tensors_, prefix_ + "mlp.", kQwenExperts, c_.intermediate_size));
    }
    return weights;
  }

 private:
  Result<Tensor> find(const std::string& name, const std::vector<int64_t>& shape) const {
    return find_tensor(tensors_, prefix_ + name + ".weight", shape);
  }

  Status attention(LayerWeights& weights) const {
    const LatentAttention& l = *c_.latent;
    const int64_t hidden = c_.hidden_size;
    const int64_t heads = c_.num_q_heads;
    const int64_t queries = heads * (l.nope_dim + l.rope_dim);
    if (l.q_rank > 0) {
      VORTEX_ASSIGN(weights.q_latent, find("self_attn.q_a_proj", {l.q_rank, hidden}));
      VORTEX_ASSIGN(weights.q_norm, find("self_attn.q_a_layernorm", {l.q_rank}));
      VORTEX_ASSIGN(weights.q, find("self_attn.q_b_proj", {queries, l.q_rank}));
    } else {
      VORTEX_ASSIGN(weights.q, find("self_attn.q_proj", {queries, hidden}));
    }
    VORTEX_ASSIGN(weights.kv_latent, find("self_attn.kv_a_proj_with_mqa", {l.kv_rank + l.rope_dim, hidden}));
    VORTEX_ASSIGN(weights.k_norm, find("self_attn.kv_a_layernorm", {l.kv_rank}));
    VORTEX_ASSIGN(weights.kv, find("self_attn.kv_b_proj", {heads * (l.nope_dim + l.value_dim), l.kv_rank}));
    VORTEX_ASSIGN(weights.o, find("self_attn.o_proj", {hidden, heads * l.value_dim}));
    return ok_status();
  }

  Status experts(LayerWeights& weights) const {
    VORTEX_TRY(collect_experts(c_, tensors_, prefix_, kQwenExperts, weights));
    const int shared = c_.experts->shared_inner;
    if (shared == 0) { return ok_status(); }
    VORTEX_ASSIGN(weights.mlp, collect_mlp(c_, tensors_, prefix_ + "mlp.shared_experts.", kQwenExperts, shared));
    return ok_status();
  }

  const ModelConfig& c_;
  const std::map<std::string, Tensor>& tensors_;
  std::string prefix_;
  int layer_;
};

Result<Weights> collect(const ModelConfig& config, const std::map<std::string, Tensor>& tensors) {
  VORTEX_ASSIGN(Weights weights, collect_around_layers(config, tensors));
  for (int layer = 0; layer < config.num_layers; ++layer) {
    VORTEX_ASSIGN(LayerWeights layer_weights, LayerNames(config, tensors, layer).collect());
    weights.layers.push_back(std::move(layer_weights));
  }
  return weights;
}

}  // namespace

const Architecture kDeepseekV2 = {"DeepseekV2ForCausalLM", read_config<kV2>, collect};
const Architecture kDeepseekV3 = {"DeepseekV3ForCausalLM", read_config<kV3>, collect};
const Architecture kGlm4MoeLite = {"Glm4MoeLiteForCausalLM", read_config<kGlm>, collect};

}  // namespace vortex::model
