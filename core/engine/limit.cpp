#include "core/engine/limit.h"

#include <algorithm>
#include <cmath>

#include "core/engine/shard.h"
#include "core/vflow/graph/row_pages.h"
#include "core/vflow/tell/cost.h"

namespace vortex::engine {
namespace {

constexpr int64_t kWeightBytes = 2;
constexpr double kLinkBytesPerSecond = 396e9;  // one way
constexpr double kExchangeSeconds = 1.8e-6;

// Weights of one layer's attention.
int64_t attention_weights(const model::ModelConfig& c) {
  const int64_t hidden = c.hidden_size;
  const int64_t heads = c.num_q_heads;
  if (!c.latent) { return 2 * hidden * c.head_dim * (heads + c.num_kv_heads); }
  const model::LatentAttention& l = *c.latent;
  const int64_t queries = heads * (l.nope_dim + l.rope_dim);
  const int64_t q = l.q_rank > 0 ? l.q_rank * (hidden + queries) : hidden * queries;
  return q + hidden * (l.kv_rank + l.rope_dim) + heads * l.kv_rank * (l.nope_dim + l.value_dim) +
         hidden * heads * l.value_dim;
}

// Bytes of one layer's MLP that a step of so many requests reads. Experts count as often as one of them is touched
// where every choice is as likely as any other.
double mlp_step_bytes(const model::ModelConfig& c, int layer, size_t requests, vflow::Dtype experts) {
  const double hidden = c.hidden_size;
  if (!c.has_experts(layer)) { return kWeightBytes * 3 * hidden * c.intermediate_size; }
  const model::Experts& e = *c.experts;
  const double missed = std::pow(1.0 - static_cast<double>(e.per_token) / e.count, static_cast<double>(requests));
  const double touched = e.count * (1.0 - missed) * e.inner + e.shared_inner;
  return 3 * hidden * touched * static_cast<double>(vflow::dtype_bytes(experts)) + kWeightBytes * hidden * e.count;
}

int64_t weight_bytes(const model::ModelConfig& c, size_t requests, vflow::Dtype experts) {
  double mlps = 0;
  for (int layer = 0; layer < c.num_layers; ++layer) { mlps += mlp_step_bytes(c, layer, requests, experts); }
  const int64_t others = attention_weights(c) * c.num_layers + int64_t{c.hidden_size} * c.vocab_size;
  return kWeightBytes * others + std::llround(mlps);
}

int64_t sparse_layers_of(const model::ModelConfig& model, const vflow::Policy& policy) {
  int64_t layers = 0;
  for (int layer = 0; layer < model.num_layers; ++layer) {
    layers += vflow::layer_is_dense(policy.config, layer) ? 0 : 1;
  }
  return layers;
}

// Blocks that one layer scores for one kv head, of all requests: none of a request whose blocks all fit its budget.
int64_t scored_blocks(const vflow::Policy& policy, std::span<const int> lengths) {
  int64_t scored = 0;
  for (const int length : lengths) {
    const int blocks = (length + policy.config.block_size - 1) / policy.config.block_size;
    const bool fits = vflow::selected_blocks(policy.config, blocks) == blocks;
    scored += fits ? 0 : blocks - policy.config.reserved_eos;
  }
  return scored;
}

}  // namespace

StepBytes step_bytes(const model::ModelConfig& model, const vflow::Policy* policy, vflow::Dtype kv_dtype,
                     std::span<const int> lengths, vflow::Dtype experts) {
  const vflow::Dtype stored = policy != nullptr ? policy->config.kv_dtype : kv_dtype;
  const int64_t token = model.cached_values() * vflow::dtype_bytes(stored);  // of one layer
  const int64_t sparse_layers = policy == nullptr ? 0 : sparse_layers_of(model, *policy);
  const int64_t dense_layers = model.num_layers - sparse_layers;
  StepBytes bytes;
  bytes.weights = weight_bytes(model, lengths.size(), experts);
  for (const int length : lengths) {
    bytes.kv += dense_layers * length * token;
    if (sparse_layers == 0) { continue; }
    const int block = policy->config.block_size;
    const int blocks = (length + block - 1) / block;
    const int64_t attended = vflow::row_pages(*policy, blocks).most;
    bytes.kv += sparse_layers * (attended * block - (int64_t{blocks} * block - length)) * token;
  }
  if (sparse_layers == 0) { return bytes; }
  const vflow::PageCost page = vflow::page_cost(*policy);
  const double scored = static_cast<double>(sparse_layers * model.num_kv_heads * scored_blocks(*policy, lengths));
  bytes.summaries = std::llround(scored * page.read_bytes);
  bytes.state = std::llround(scored * page.saved_bytes);
  return bytes;
}

double special_results(const model::ModelConfig& model, const vflow::Policy* policy, std::span<const int> lengths) {
  if (policy == nullptr) { return 0; }
  const int64_t rows = sparse_layers_of(model, *policy) * model.num_kv_heads;
  return static_cast<double>(rows * scored_blocks(*policy, lengths)) * vflow::page_cost(*policy).special;
}

double limit_bytes(const StepBytes& bytes, double special, const DeviceRates& rates) {
  const auto scoring = static_cast<double>(bytes.summaries + bytes.state);
  const double computing = rates.special > 0 ? special / rates.special * rates.bytes : 0;
  return static_cast<double>(bytes.weights + bytes.kv) + std::max(scoring, computing);
}

RankBytes rank_bytes(const model::ModelConfig& model, int ranks, const vflow::Policy* policy, vflow::Dtype kv_dtype,
                     std::span<const int> lengths, vflow::Dtype experts) {
  RankBytes bytes;
  const Result<ShardPlan> plan = plan_shard(model, 0, ranks);
  if (!plan.ok()) { return bytes; }
  bytes.card = step_bytes(shard_config(model, *plan), policy, kv_dtype, lengths, experts);
  const int64_t absent_rows = model.vocab_size - plan->vocab.count;
  bytes.card.weights -= kWeightBytes * absent_rows * model.hidden_size;
  if (ranks == 1) { return bytes; }
  const auto rows = static_cast<int64_t>(lengths.size());
  const int64_t layers = model.num_layers;
  // A sum of n bytes takes 2 (ranks - 1) / ranks of them from every rank, at the least.
  const int64_t sum = 2 * (ranks - 1) * rows * model.hidden_size * kWeightBytes / ranks;
  bytes.link = 2 * layers * sum;
  bytes.exchanges = static_cast<int>(2 * layers);
  if (model.qk_norm == model::QkNorm::kAllHeads) {
    bytes.exchanges += model.num_layers;
    bytes.link += layers * rows * (ranks - 1) * static_cast<int64_t>(2 * sizeof(float));
  }
  if (absent_rows > 0) {
    bytes.exchanges += 1;
    bytes.link += rows * plan->vocab.count * (ranks - 1) * static_cast<int64_t>(sizeof(float));
  }
  return bytes;
}

double least_seconds(const RankBytes& bytes, double bytes_per_second) {
  return static_cast<double>(bytes.card.total()) / bytes_per_second +
         static_cast<double>(bytes.link) / kLinkBytesPerSecond + bytes.exchanges * kExchangeSeconds;
}

}  // namespace vortex::engine
