#include "evals/ladder/expected_race.h"

#include <algorithm>
#include <map>
#include <string>

namespace vortex::evals {
namespace {

bool one_greedy_answer_each(const Session& session) {
  return std::all_of(session.problems.begin(), session.problems.end(), [](const PreparedProblem& prepared) {
    return prepared.problem.answers.size() == 1 && prepared.spec->trials == 1 && prepared.spec->temperature == 0;
  });
}

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

std::optional<ExpectedRace> expected_race(const Session& session, const std::vector<job::Outcome>& outcomes) {
  const ExpectedAnswers& expected = session.expected;
  if (expected.own.size() != session.problems.size() || !one_greedy_answer_each(session)) { return std::nullopt; }
  const Completed own = completed(session, outcomes, expected.own);
  const Completed dense = completed(session, session.job.incumbent, expected.dense);
  ExpectedRace race;
  race.difference = paired_difference(own.outcomes, dense.outcomes, session.job.seed);
  race.doubt = (own.surprises + dense.surprises + 1.0) / (own.graded + dense.graded + 2.0);
  return race;
}

}  // namespace vortex::evals
