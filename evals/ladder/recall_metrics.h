// What the recall stage makes of forced decoding: the same numbers whatever device it ran on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/vflow/policy.h"
#include "evals/ladder/trace.h"
#include "job/stage.h"

namespace vortex::evals {

// KL divergence of the policy's next-token distribution from dense attention's, in nats, from the log-probabilities of
// the same tokens, the rest taken as one; by the data-processing inequality no more than the whole one. At least 0.
double coarse_kl(std::span<const float> dense, std::span<const float> policy);

// Mean over the positions of a trace; `forced` was asked for the trace's top tokens.
double mean_kl(const DenseTrace& trace, const engine::Forced& forced);

// Mean log-probability of the continuation's tokens, in nats a token.
double mean_log_likelihood(const engine::Forced& forced);

// An outcome a position: is the most probable token the one that dense attention held most probable?
std::vector<job::Outcome> agreement(const std::string& problem, const DenseTrace& trace, const engine::Forced& forced);

// Shares over layers that select and all their kv heads; 1 where no layer selects.
struct AttentionShares {
  double mass = 1;
  double mass_chosen = 1;
  double index = 1;
  double index_chosen = 1;
};
AttentionShares mean_shares(std::span<const engine::AttentionRecall> recall, int kv_heads,
                            const vflow::EngineConfig& config);

// What came of one problem.
struct ProblemRecall {
  AttentionShares shares;
  double kl = 0;                        // on what dense attention wrote
  std::vector<job::Outcome> agreement;  // on the same
};

// Medians over problems: mass_recall, mass_recall_chosen (competing pages alone), index_recall, index_recall_chosen and
// kl; next_token_agreement over all positions. Those of right answers are answers.h's.
std::vector<job::Metric> recall_metrics(const std::vector<ProblemRecall>& problems, uint64_t seed);

}  // namespace vortex::evals
