#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"
#include "evals/ladder/answers.h"
#include "evals/ladder/session.h"
#include "evals/ladder/trace.h"

namespace vortex::evals {

// What the oracle came to: the pages with the largest true attention at a policy's budget. It says how much room the
// budget leaves, and so whether a policy that falls short lacks budget or a better score.
struct Ceiling {
  // On the task's problems: answered as in the race, of the first ones; or, where forcing dense attention through the
  // right answers told all that it was graded, as forcing tells it of the oracle.
  std::vector<job::Outcome> outcomes;
  std::vector<AnswerProbe> probes;  // of the right answers
};

// The members of a policy's configuration that say how many pages a row may attend; all others at their defaults. A
// Union's two selections count together.
vflow::EngineConfig budget_of(const vflow::Policy& policy);

// Measured once per model, task and budget, and kept in the job's prefix folder. Nothing where the engine has no
// oracle, the job does not ask for one, or there is no policy. The session's policy is set again afterwards. `wanted`
// and `traces` are the session's right answers.
Result<std::optional<Ceiling>> ceiling_of(Session& session, const std::vector<TraceWanted>& wanted,
                                          const std::vector<DenseTrace>& traces);

}  // namespace vortex::evals
