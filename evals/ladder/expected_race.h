#pragma once

#include <optional>
#include <vector>

#include "evals/ladder/session.h"
#include "evals/statistics.h"

namespace vortex::evals {

// A race whose unasked problems are filled in.
struct ExpectedRace {
  Interval difference;  // paired with the incumbent, over all problems of the task
  double doubt = 0;     // share of graded answers that did not come out as expected, with one more of either kind
};

// What the race of the session's problems is going to show, after `outcomes` of its first problems: those that are not
// asked yet count as the forced right answers say (ExpectedAnswers), for the policy and, where the incumbent did not
// answer, for dense attention. A prediction: it may end a race early, and says nothing of accuracy.
// Nothing where the recall stage forced none, where problems have several answers or trials, or where answers are
// sampled.
std::optional<ExpectedRace> expected_race(const Session& session, const std::vector<job::Outcome>& outcomes);

}  // namespace vortex::evals
