#include "study/retest.h"

#include <cstdlib>

namespace vortex::study {
namespace {

std::string numbered(const char* stage, int number) {
  return number <= 1 ? std::string(stage) : std::string(stage) + "-" + std::to_string(number);
}

}  // namespace

std::string retest_stage(int round) { return "retest-" + std::to_string(round); }

std::string confirm_stage(int round) { return numbered("confirm", round); }

std::string speed_stage(int run) { return numbered("speed", run); }

int round_of(const std::string& stage) {
  const size_t dash = stage.find('-');
  return dash == std::string::npos ? 1 : std::atoi(stage.c_str() + dash + 1);
}

int retest_round(const std::string& stage) { return round_of(stage); }

uint64_t retest_seed(uint64_t task_seed, int round) { return task_seed + 7919 * static_cast<uint64_t>(round); }

bool is_retest(const std::string& stage) { return stage.starts_with("retest-"); }

bool is_confirm(const std::string& stage) { return stage == "confirm" || stage.starts_with("confirm-"); }

bool is_aside(const std::string& stage) {
  return is_retest(stage) || stage.starts_with("confirm-") || stage.starts_with("speed-");
}

}  // namespace vortex::study
