#include "study/retest.h"

#include <cstdlib>
#include <string_view>

namespace vortex::study {

std::string retest_stage(int round) { return "retest-" + std::to_string(round); }

int retest_round(const std::string& stage) { return std::atoi(stage.c_str() + std::string_view("retest-").size()); }

uint64_t retest_seed(uint64_t task_seed, int round) { return task_seed + 7919 * static_cast<uint64_t>(round); }

bool is_retest(const std::string& stage) { return stage.starts_with("retest-"); }

}  // namespace vortex::study
