// Tensor parallelism, the part that knows no device: what a rank holds of a model. Heads, columns and rows are split
// evenly (Megatron-LM, arXiv:1909.08053): a rank has some kv heads with their query heads, some inner elements of every
// MLP and expert, and some of the vocabulary's rows of the head. Norms, the router and the embedding are everybody's.
// After attention and after the MLP the ranks' outputs are added up.
#pragma once

#include "base/result.h"
#include "core/model/model.h"

namespace vortex::engine {

struct ShardRange {
  int first = 0;
  int count = 0;
};

struct ShardPlan {
  int rank = 0;
  int ranks = 1;
  ShardRange kv_heads;
  ShardRange q_heads;
  ShardRange inner;         // elements of an MLP without experts
  ShardRange expert_inner;  // of every expert
  ShardRange shared_inner;  // of the expert that every token goes through
  ShardRange vocab;         // rows of the head; all of them where they cannot be split into whole vectors
};

inline constexpr int kMaxModelRanks = 8;

// What rank `rank` of `ranks` holds. A model that cannot be split so is the candidate's fault.
Result<ShardPlan> plan_shard(const model::ModelConfig& config, int rank, int ranks);

// The model as a rank sees it: its heads, its inner sizes; the whole vocabulary.
model::ModelConfig shard_config(const model::ModelConfig& config, const ShardPlan& plan);

// The rank's part of the weights (none of a model that has none): views into `whole`, which the result keeps alive.
// Those of output and down projections are some columns (core/model/rows.h).
model::Model shard_model(const model::Model& whole, const ShardPlan& plan);

}  // namespace vortex::engine
