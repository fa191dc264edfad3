// Who decodes when: the engine's schedule of a served load, played without decoding anything. Lengths are known, so the
// schedule does not depend on time.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/model.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

// Tokens of one request, each at least 1. The answer's first token comes with the prompt; every other one takes a step.
struct RequestLength {
  int prompt = 1;
  int answer = 1;
};

// Answers whose logarithm is normal with deviation `sigma`; `mean` is theirs before they are cut at `longest`.
struct LogNormal {
  double mean = 12600;
  double sigma = 0.6;
  int longest = 32000;
};

// Lengths of at least 2 tokens, from the seed alone.
std::vector<int> draw_lengths(const LogNormal& answers, int count, uint64_t seed);

// What a schedule must keep to.
struct PlanLimits {
  int max_batch = 1;
  int steps_per_round = 1;  // between two looks of the host
  int block = 16;
  int64_t pages = 0;  // of the pool
};

// The steps between two looks of the host, in which the batch is the same.
struct Round {
  int64_t first_step = 0;
  int steps = 0;
  int64_t tokens = 0;        // sampled in the round
  std::vector<int> lengths;  // of those that decode, at the round's beginning
};

// When a request decodes: in steps [first, end) of the plan, as many as its answer has tokens but one.
struct Stay {
  int64_t first = 0;
  int64_t end = 0;
};

struct Plan {
  std::vector<Round> rounds;
  std::vector<Stay> stays;  // [request]
  int64_t steps = 0;
  int64_t tokens = 0;  // of all answers
  double mean_batch = 0;
  int64_t most_pages = 0;  // held at once, at most what the limits allow unless one request alone needs more

  int64_t decode_tokens() const { return tokens - static_cast<int64_t>(stays.size()); }
};

// The schedule of these requests, in order: one joins when the batch has a place and the pool will hold everybody to
// the end (as the CUDA engine admits requests of known length).
Plan plan_requests(const std::vector<RequestLength>& requests, const PlanLimits& limits);

// Bytes of a step in the middle of each round, by the limit model (core/engine/limit.h).
std::vector<double> bytes_of_rounds(const Plan& plan, const model::ModelConfig& model, const vflow::Policy* policy,
                                    vflow::Dtype kv_dtype, vflow::Dtype experts = vflow::Dtype::kBf16);
// Bytes of all steps, each as many as one of its round.
double bytes_of_steps(const Plan& plan, const std::vector<double>& round_bytes);

}  // namespace vortex::engine
