#include "core/engine/shard.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/model/rows.h"
#include "core/model/weights.h"

namespace vortex::engine {
namespace {

constexpr int kVocabStep = 8;  // rows of the head, so that every rank's logits are whole vectors

Status check_divides(int size, int ranks, const char* what) {
  if (size % ranks == 0) { return ok_status(); }
  return candidate_error(
      std::to_string(size) + " " + what + " cannot be split over " + std::to_string(ranks) + " ranks",
      "use a number of ranks that divides them");
}

// Inner elements whose weights are fp8 are split between blocks that share a scale.
Status check_blocks(const model::ModelConfig& config, int inner, const char* what) {
  const int block = std::max(config.scale_block.rows, config.scale_block.cols);
  if (block == 0 || inner % block == 0) { return ok_status(); }
  return candidate_error(std::to_string(inner) + " " + what + " a rank are no whole number of blocks of " +
                             std::to_string(block) + " that share an fp8 scale",
                         "use fewer ranks");
}

ShardRange part_of(int size, int rank, int ranks) { return {rank * (size / ranks), size / ranks}; }

bool covers(const ShardRange& range, int64_t size) { return range.first == 0 && range.count == size; }

// Weights of a rank beside those of the whole model, which they point into.
struct ShardWeights : model::Weights {
  std::shared_ptr<const model::Weights> whole;
};

// Cuts the tensors of one rank.
class Cutter {
 public:
  Cutter(const model::ModelConfig& config, const ShardPlan& plan, std::shared_ptr<const model::Weights> whole)
      : c_(config), plan_(plan) {
    weights_->whole = std::move(whole);
  }

  std::shared_ptr<const model::Weights> cut() {
    const model::Weights& whole = *weights_->whole;
    weights_->embedding = whole.embedding;
    weights_->final_norm = whole.final_norm;
    weights_->head = rows(whole.head, plan_.vocab);
    for (size_t i = 0; i < whole.layers.size(); ++i) { weights_->layers.push_back(layer(whole.layers[i], i)); }
    return weights_;
  }

 private:
  ShardRange of_heads(const ShardRange& heads) const { return {heads.first * c_.head_dim, heads.count * c_.head_dim}; }

  model::LayerWeights layer(const model::LayerWeights& from, size_t index) {
    model::LayerWeights to = from;
    const ShardRange q = of_heads(plan_.q_heads);
    const ShardRange kv = of_heads(plan_.kv_heads);
    to.q = rows(from.q, q);
    to.k = rows(from.k, kv);
    to.v = rows(from.v, kv);
    to.q_bias = elements(from.q_bias, q);
    to.k_bias = elements(from.k_bias, kv);
    to.v_bias = elements(from.v_bias, kv);
    if (c_.qk_norm == model::QkNorm::kAllHeads) {
      to.q_norm = elements(from.q_norm, q);
      to.k_norm = elements(from.k_norm, kv);
    }
    to.o = columns(from.o, q);
    to.mlp = mlp(from.mlp, c_.has_experts(static_cast<int>(index)) ? plan_.shared_inner : plan_.inner);
    for (model::MlpWeights& expert : to.experts) { expert = mlp(expert, plan_.expert_inner); }
    return to;
  }

  model::MlpWeights mlp(const model::MlpWeights& from, const ShardRange& inner) {
    return {rows(from.gate, inner), rows(from.up, inner), columns(from.down, inner)};
  }

  static model::Tensor rows(const model::Tensor& from, const ShardRange& range) {
    if (from.data == nullptr) { return from; }
    model::Tensor to = from;
    to.data += range.first * model::row_stride(from) * vflow::dtype_bytes(from.dtype);
    to.shape[0] = range.count;
    if (from.scales != nullptr) {
      to.scales = std::make_shared<model::Tensor>(rows(*from.scales, blocks(range, from.scale_block.rows)));
    }
    return to;
  }

  static model::Tensor elements(const model::Tensor& from, const ShardRange& range) {
    if (from.data == nullptr) { return from; }
    model::Tensor to = from;
    to.data += range.first * vflow::dtype_bytes(from.dtype);
    to.shape[0] = range.count;
    return to;
  }

  static model::Tensor columns(const model::Tensor& from, const ShardRange& range) {
    if (from.data == nullptr || covers(range, model::cols_of(from))) { return from; }
    model::Tensor to = model::columns_of(from, range.first, range.count);
    if (from.scales != nullptr) {
      to.scales = std::make_shared<model::Tensor>(columns(*from.scales, blocks(range, from.scale_block.cols)));
    }
    return to;
  }

  static ShardRange blocks(const ShardRange& range, int block) {
    return {range.first / block, (range.count + block - 1) / block};
  }

  const model::ModelConfig& c_;
  const ShardPlan& plan_;
  std::shared_ptr<ShardWeights> weights_ = std::make_shared<ShardWeights>();
};

}  // namespace

Result<ShardPlan> plan_shard(const model::ModelConfig& config, int rank, int ranks) {
  if (ranks < 1 || ranks > kMaxModelRanks || rank < 0 || rank >= ranks) {
    return candidate_error("a model runs on 1 to " + std::to_string(kMaxModelRanks) + " ranks, not " +
                           std::to_string(ranks));
  }
  if (config.latent && ranks > 1) {
    return candidate_error("latent attention caches one head, which cannot be split over " + std::to_string(ranks) +
                           " ranks");
  }
  VORTEX_TRY(check_divides(config.num_kv_heads, ranks, "kv heads"));
  VORTEX_TRY(check_divides(config.intermediate_size, ranks, "inner elements of an MLP"));
  ShardPlan plan;
  plan.rank = rank;
  plan.ranks = ranks;
  plan.kv_heads = part_of(config.num_kv_heads, rank, ranks);
  plan.q_heads = part_of(config.num_q_heads, rank, ranks);
  plan.inner = part_of(config.intermediate_size, rank, ranks);
  if (config.experts) {
    VORTEX_TRY(check_divides(config.experts->inner, ranks, "inner elements of an expert"));
    VORTEX_TRY(check_divides(config.experts->shared_inner, ranks, "inner elements of the shared expert"));
    VORTEX_TRY(check_blocks(config, config.experts->inner / ranks, "inner elements of an expert"));
    VORTEX_TRY(check_blocks(config, config.experts->shared_inner / ranks, "inner elements of the shared expert"));
    plan.expert_inner = part_of(config.experts->inner, rank, ranks);
    plan.shared_inner = part_of(config.experts->shared_inner, rank, ranks);
  }
  const bool whole_vectors = config.vocab_size % (ranks * kVocabStep) == 0;
  plan.vocab = whole_vectors ? part_of(config.vocab_size, rank, ranks) : ShardRange{0, config.vocab_size};
  return plan;
}

model::ModelConfig shard_config(const model::ModelConfig& config, const ShardPlan& plan) {
  model::ModelConfig part = config;
  part.num_kv_heads = plan.kv_heads.count;
  part.num_q_heads = plan.q_heads.count;
  part.intermediate_size = plan.inner.count;
  if (part.experts) {
    part.experts->inner = plan.expert_inner.count;
    part.experts->shared_inner = plan.shared_inner.count;
  }
  return part;
}

model::Model shard_model(const model::Model& whole, const ShardPlan& plan) {
  model::Model part = whole;
  part.config = shard_config(whole.config, plan);
  if (whole.weights != nullptr) { part.weights = Cutter(whole.config, plan, whole.weights).cut(); }
  return part;
}

}  // namespace vortex::engine
