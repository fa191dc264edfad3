// Shows what is read of the pool without having been written.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "core/engine/cuda/runner.h"

namespace vortex::engine {

// The logits of a greedy request after 40 steps, in a pool that holds what it held, or, `poisoned`, NaN everywhere.
inline std::vector<float> logits_after_steps(Runner& runner, const std::vector<int32_t>& prompt, bool poisoned) {
  constexpr int kSteps = 40;
  std::vector<float> logits(static_cast<size_t>(runner.model().source.config.vocab_size));
  EXPECT_TRUE(runner.reset().ok());
  if (poisoned) { EXPECT_TRUE(runner.pool().poison(runner.stream()).ok()); }
  runner.slots().host().remaining[0] = 1000;
  runner.slots().host().ignores_stops[0] = 1;
  EXPECT_TRUE(runner.prefill(0, prompt).ok());
  EXPECT_TRUE(runner.prepare(1).ok());
  for (int i = 0; i < kSteps; ++i) { EXPECT_TRUE(runner.replay(1).ok()); }
  EXPECT_TRUE(runner.slots().download(runner.stream()).ok());
  EXPECT_EQ(runner.slots().host().lengths[0], static_cast<int>(prompt.size()) + kSteps);
  EXPECT_TRUE(runner.read_logits(0, logits.data()).ok());
  return logits;
}

}  // namespace vortex::engine
