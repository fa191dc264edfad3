#pragma once

#include <optional>
#include <string>
#include <vector>

#include "evals/ladder/answers.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// A rival that leaves a policy no place: it reads no more, and is surely nearer to dense attention on right answers.
struct Beaten {
  int64_t by = 0;       // the rival
  double behind = 0;    // KL in nats a token, mean over problems
  double at_least = 0;  // three standard errors below that
};

// Of the job's rivals the one that beats the policy most surely; nothing where none does, where a rival was asked other
// problems, where there are too few to tell, or where forced answers do not foretell a race (one_greedy_answer_each).
// `probes` are of all problems of the session, in their order; `bytes` what answering them reads (bytes_of_answering).
// On problems that both were asked luck is shared, so that this tells two policies apart with fewer problems than their
// graded answers do (docs/benchmarks/selection.md).
std::optional<Beaten> beaten_by_rival(const Session& session, const std::vector<AnswerProbe>& probes, double bytes);

// "candidate 7 reads no more, and right answers surprise it less by 0.31 nats a token, 0.12 at least"
std::string beaten_text(const Beaten& beaten);

}  // namespace vortex::evals
