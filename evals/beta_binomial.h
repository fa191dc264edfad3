#pragma once

#include <utility>
#include <vector>

#include "evals/statistics.h"

namespace vortex::evals {

// The share of right answers where problems are drawn from many and each is answered several times, from (right,
// answered) of each problem: the middle 95 % of its posterior in a beta-binomial model. The share has Jeffreys' prior,
// the correlation of two answers to one problem a uniform one. Both are integrated over a fixed grid. The value is the
// share of all answers that are right. Needs at least one problem, each with at least one answer.
Interval beta_binomial_interval(const std::vector<std::pair<int, int>>& problems);

}  // namespace vortex::evals
