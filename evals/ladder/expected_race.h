#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evals/ladder/session.h"
#include "evals/statistics.h"

namespace vortex::evals {

// A race whose unasked problems are filled in.
struct ExpectedRace {
  Interval difference;  // paired with the incumbent, over all problems of the task
  double doubt = 0;     // share of graded answers that did not come out as expected, with one more of either kind
  int graded = 0;       // answers that were graded, of the policy's and of the incumbent's
};

// Is every problem answered once, greedily, and for one thing? Only then does forcing its right answer foretell it.
bool one_greedy_answer_each(const Session& session);

// What the race of the session's problems is going to show, after `outcomes` of its first problems: those that are not
// asked yet count as the forced right answers say (ExpectedAnswers), for the policy and, where the incumbent did not
// answer, for dense attention. A prediction: it may end a race early, and says nothing of accuracy.
// Nothing where the recall stage forced none, where problems have several answers or trials, or where answers are
// sampled.
std::optional<ExpectedRace> expected_race(const Session& session, const std::vector<job::Outcome>& outcomes);

// Does it lie wholly below the job's race margin, doubt included? Never with fewer graded answers than doubt can be
// read from.
bool surely_lost(const ExpectedRace& race, const Session& session);

// "with the forced right answers of all 16 problems the difference to the incumbent is at most -31 %, below the ..."
std::string lost_text(const ExpectedRace& race, const Session& session);

}  // namespace vortex::evals
