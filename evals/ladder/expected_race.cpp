#include "evals/ladder/expected_race.h"

#include <algorithm>
#include <map>

#include "base/percent.h"

namespace vortex::evals {
namespace {

constexpr int kFewestGraded = 8;

// Graded answers by problem, completed by what is expected; counts how the two agree where both are there.
struct Completed {
  std::vector<job::Outcome> outcomes;
  int graded = 0;
  int surprises = 0;
};

Completed completed(const Session& session, const std::vector<job::Outcome>& graded,
                    const std::vector<bool>& expected) {
  std::map<std::string, bool> known;
  for (const job::Outcome& outcome : graded) { known.emplace(outcome.problem, outcome.correct); }
  Completed result;
  for (size_t i = 0; i < session.problems.size(); ++i) {
    job::Outcome outcome;
    outcome.problem = session.problems[i].problem.id;
    const auto found = known.find(outcome.problem);
    outcome.correct = found != known.end() ? found->second : expected[i];
    if (found != known.end()) {
      ++result.graded;
      result.surprises += found->second != expected[i] ? 1 : 0;
    }
    result.outcomes.push_back(std::move(outcome));
  }
  return result;
}

}  // namespace

bool one_greedy_answer_each(const Session& session) {
  return std::all_of(session.problems.begin(), session.problems.end(), [](const PreparedProblem& prepared) {
    return prepared.problem.answers.size() == 1 && prepared.spec->trials == 1 && prepared.spec->temperature == 0;
  });
}

std::optional<ExpectedRace> expected_race(const Session& session, const std::vector<job::Outcome>& outcomes) {
  const ExpectedAnswers& expected = session.expected;
  if (expected.own.size() != session.problems.size() || !one_greedy_answer_each(session)) { return std::nullopt; }
  const Completed own = completed(session, outcomes, expected.own);
  const Completed dense = completed(session, session.job.incumbent, expected.dense);
  ExpectedRace race;
  race.difference = paired_difference(own.outcomes, dense.outcomes, session.job.seed);
  race.graded = own.graded + dense.graded;
  race.doubt = (own.surprises + dense.surprises + 1.0) / (race.graded + 2.0);
  return race;
}

bool surely_lost(const ExpectedRace& race, const Session& session) {
  return race.graded >= kFewestGraded && race.difference.hi + race.doubt < -session.job.race_margin;
}

std::string lost_text(const ExpectedRace& race, const Session& session) {
  return "with the forced right answers of all " + std::to_string(session.problems.size()) +
         " problems the difference to the incumbent is at most " + percent(race.difference.hi + race.doubt) +
         ", below the margin of " + percent(-session.job.race_margin);
}

}  // namespace vortex::evals
