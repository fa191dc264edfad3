#pragma once

#include <cstdint>
#include <vector>

#include "agent/evaluate/assignment.h"
#include "study/history.h"

namespace vortex::agent {

// What a search's candidates took so far, in problems and in seconds: further rounds and finals are planned by it.
struct Clocks {
  int64_t race_problems = 0;         // answered by races, trials counted
  double climb_seconds = 0;          // of policies
  double policy_race_seconds = 0;    // of the last policy
  double new_problems_seconds = 0;   // of dense attention's rounds of retests
  double dense_problem_seconds = 0;  // study::fresh_problem_seconds; 0: not known

  void count_dense_climb(const study::CandidateHistory& dense);
  void count_climb(const study::CandidateHistory& policy);
  // Those of the tasks that are rounds of retests, which dense attention has just answered.
  void count_new_problems(const study::CandidateHistory& dense, const std::vector<Assignment>& tasks);
};

}  // namespace vortex::agent
