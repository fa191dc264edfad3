#include "evals/ladder/race_rounds.h"

#include <span>

#include "evals/ladder/planned.h"

namespace vortex::evals {
namespace {

constexpr size_t kFewProblems = 8;
constexpr double kSurvivors = 0.5;  // of policies that come to a race, are taken to be asked the rest

}  // namespace

size_t first_round(Session& session) {
  const std::span<const PreparedProblem> all = session.problems;
  if (all.size() <= kFewProblems || session.job.incumbent.empty()) { return all.size(); }
  // On a CPU a step's products take as long as they have rows.
  if (session.driver == 0) { return kFewProblems; }
  const double few = bytes_of_answering(session, all.first(kFewProblems));
  const double others = bytes_of_answering(session, all.subspan(kFewProblems));
  const bool together_is_cheaper = bytes_of_answering(session, all) < few + kSurvivors * others;
  return together_is_cheaper ? all.size() : kFewProblems;
}

}  // namespace vortex::evals
