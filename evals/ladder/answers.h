// The right answers of the recall stage: what an engine makes of them when it must write them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"
#include "evals/ladder/session.h"
#include "evals/ladder/trace.h"
#include "job/stage.h"

namespace vortex::evals {

// The right answer of every problem of the session, in order, at most recall_answer_tokens long. None where the task
// cannot spell its answers out (Problem::solution).
Result<std::vector<TraceWanted>> right_answers(const Session& session);

// One forced decoding of each trace (dense_traces of `wanted`) under what the engine is set to, all in one batch, with
// a look at attention every `look_every` steps (0: none). Adds the run's counters to `stats`.
Result<std::vector<engine::Forced>> force_traces(Session& session, const std::vector<TraceWanted>& wanted,
                                                 const std::vector<DenseTrace>& traces, int look_every,
                                                 engine::RunStats& stats);

// One right answer, forced.
struct AnswerProbe {
  double log_likelihood = 0;  // mean over its tokens, in nats
  double kl = 0;              // of next-token distributions, from dense attention to this one: mean over its tokens
  bool match = true;          // is every token the most probable one: would greedy decoding write it?
};

// What comes of the answers that `traces` hold, forced.
Result<std::vector<AnswerProbe>> probe_answers(Session& session, const std::vector<TraceWanted>& wanted,
                                               const std::vector<DenseTrace>& traces, engine::RunStats& stats);

// Would dense attention write the answer?
bool dense_match(const DenseTrace& trace);

// answer_log_likelihood and answer_kl, means over problems, with `prefix` before their names.
std::vector<job::Metric> answer_metrics(const std::string& prefix, const std::vector<AnswerProbe>& probes,
                                        uint64_t seed);

}  // namespace vortex::evals
