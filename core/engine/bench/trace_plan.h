// Who decodes when in a trace: the CUDA engine's schedule, played without decoding anything. Lengths are known, so the
// schedule does not depend on time.
#pragma once

#include <cstdint>
#include <vector>

#include "core/engine/bench/bench.h"

namespace vortex::bench {

// Tokens of the answers: log-normal, cut at the longest, from the seed alone.
std::vector<int> output_lengths(const Options& options);

// The steps between two looks of the host, in which the batch is the same.
struct Round {
  int64_t first_step = 0;
  int steps = 0;
  int64_t tokens = 0;        // sampled in the round
  std::vector<int> lengths;  // of those that decode, at the round's beginning
};

struct TracePlan {
  std::vector<Round> rounds;
  int64_t steps = 0;
  int64_t tokens = 0;  // of all answers; the first token of each comes with its prompt
  double mean_batch = 0;
  int64_t most_pages = 0;  // held at once
};

// The schedule of prompts of `prompt` tokens with these answers, in order, on a pool of `pages` pages. A request joins
// when the batch has a place and the pool will hold everybody to the end.
TracePlan plan_trace(const std::vector<int>& outputs, int prompt, int max_batch, int steps_per_round, int block,
                     int64_t pages);

}  // namespace vortex::bench
