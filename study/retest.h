#pragma once

#include <cstdint>
#include <string>

namespace vortex::study {

// Stage rows beside a candidate's climb. They add to what is known of a point and change no verdict:
//   "retest-1", "retest-2", ...: further problems of the search, twice as many each round;
//   "confirm", "confirm-2", ...: rounds of held-out problems, for finalists and dense attention (study/held_out.h);
//   "speed-2", "speed-3", ...: speed once more, in a process of its own.
std::string retest_stage(int round);
std::string confirm_stage(int round);
std::string speed_stage(int run);
bool is_retest(const std::string& stage);
bool is_confirm(const std::string& stage);
// Measured after the climb: all of the above but "confirm", which older searches had in the climb of dense attention.
bool is_aside(const std::string& stage);
int retest_round(const std::string& stage);  // of such a row
// The number behind the dash; 1 where there is none.
int round_of(const std::string& stage);
// The seed of a round's problems.
uint64_t retest_seed(uint64_t task_seed, int round);
inline constexpr int kMaxRetests = 6;
inline constexpr int kMaxSpeedRuns = 20;

}  // namespace vortex::study
