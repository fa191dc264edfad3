#pragma once

#include <cstdint>
#include <string>

namespace vortex::study {

// The stage rows of retests: "retest-1", "retest-2", ... Each round asks new problems, twice as many as the last.
std::string retest_stage(int round);
bool is_retest(const std::string& stage);
int retest_round(const std::string& stage);  // of such a row
// The seed of a round's problems.
uint64_t retest_seed(uint64_t task_seed, int round);
inline constexpr int kMaxRetests = 6;

}  // namespace vortex::study
