#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "db/store.h"
#include "evals/statistics.h"
#include "study/history.h"
#include "study/options.h"
#include "study/prediction.h"

namespace vortex::study {

// What the data say of a prediction. `effect` is the measured difference with its 95 % interval: confirmed when all of
// it lies where the prediction says, refuted when none of it does, else inconclusive.
db::Finding judge(const Prediction& prediction, const evals::Interval& effect);

// The measured difference; nothing when either side was never measured. Accuracy is paired by problem.
std::optional<evals::Interval> measured_effect(const Prediction& prediction, const CandidateHistory& candidate,
                                               const CandidateHistory& other, RankSpeed rank, uint64_t seed);

// Writes the verdicts of all open hypotheses whose candidates have theirs, in batches up to `batch`.
Status settle_hypotheses(db::Store& store, const History& history, const SearchOptions& options, int64_t batch);

// The notebook as Markdown for a prompt, in about `tokens` tokens: verdicts first, newest first; what does not fit is
// counted. Notes of batches after `batch` are left out.
Result<std::string> notebook_markdown(db::Store& store, const History& history, int64_t batch, int64_t tokens);
// The same as JSON, all of it: [{"kind", "text", "prediction", "candidate", "verdict", "effect", "reason"}].
Result<nlohmann::json> notebook_json(db::Store& store, const History& history, int64_t batch);
// Entries of that JSON as a reader wants them: what data decided, anti-patterns, what is open, questions; the newest
// first in each.
std::vector<const nlohmann::json*> by_weight(const nlohmann::json& entries);

}  // namespace vortex::study
