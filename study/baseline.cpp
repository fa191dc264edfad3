#include "study/baseline.h"

#include <algorithm>

#include "base/text.h"
#include "evals/statistics.h"

namespace vortex::study {
namespace {

std::vector<job::Outcome> race_of(const CandidateHistory& dense) {
  const db::StageRow* race = last_stage(dense, job::Stage::kRace);
  return race == nullptr ? std::vector<job::Outcome>{} : outcomes_of(dense, *race);
}

// "9 of 24"
std::string count_text(int64_t some, size_t all) { return std::to_string(some) + " of " + std::to_string(all); }

}  // namespace

std::vector<std::string> baseline_faults(const CandidateHistory& dense, const SearchOptions& options) {
  const std::vector<job::Outcome> outcomes = race_of(dense);
  std::vector<std::string> faults;
  if (outcomes.empty()) { return faults; }
  const auto count = [&](auto holds) { return std::count_if(outcomes.begin(), outcomes.end(), holds); };
  const int64_t right = count([](const job::Outcome& o) { return o.correct; });
  const evals::Interval accuracy = evals::accuracy_interval(outcomes, options.seed);
  if (accuracy.lo <= options.margin) {
    faults.push_back("it is right in " + count_text(right, outcomes.size()) +
                     ": a policy that is never right could not be told from one that keeps its accuracy within " +
                     format_number(100 * options.margin) + " points");
  }
  const int limit = options.job.task.max_new_tokens;
  const int64_t cut = count([&](const job::Outcome& o) { return !o.correct && o.tokens >= limit; });
  if (2 * cut > static_cast<int64_t>(outcomes.size())) {
    faults.push_back(count_text(cut, outcomes.size()) + " answers are wrong and were cut at the limit of " +
                     std::to_string(limit) + " tokens");
  }
  const int64_t unread = count([](const job::Outcome& o) { return !o.correct && o.extracted.empty(); });
  if (2 * unread > static_cast<int64_t>(outcomes.size())) {
    faults.push_back("in " + count_text(unread, outcomes.size()) + " answers nothing could be read as an answer");
  }
  return faults;
}

std::string baseline_note(const CandidateHistory& dense) {
  const std::vector<job::Outcome> outcomes = race_of(dense);
  const bool all = std::all_of(outcomes.begin(), outcomes.end(), [](const job::Outcome& o) { return o.correct; });
  if (outcomes.empty() || !all) { return {}; }
  return "dense attention is right in all " + std::to_string(outcomes.size()) +
         " problems: none of them can show a policy to be more accurate, and harder ones might tell more";
}

std::string sample_answers(const CandidateHistory& dense) {
  constexpr size_t kShown = 3;
  constexpr size_t kLongest = 60;
  std::vector<job::Outcome> outcomes = race_of(dense);
  std::stable_partition(outcomes.begin(), outcomes.end(), [](const job::Outcome& o) { return !o.correct; });
  std::string text;
  for (size_t i = 0; i < std::min(kShown, outcomes.size()); ++i) {
    const job::Outcome& outcome = outcomes[i];
    text += "\n  " + outcome.problem + ": " +
            (outcome.extracted.empty() ? "nothing read" : "read \"" + outcome.extracted.substr(0, kLongest) + "\"") +
            " (" + outcome.rule + "), " + std::to_string(outcome.tokens) + " tokens, " +
            (outcome.correct ? "right" : "wrong");
  }
  return text;
}

std::string baseline_warning(const History& history, const SearchOptions& options) {
  for (const CandidateHistory& candidate : history.candidates) {
    if (!is_dense(candidate.row)) { continue; }
    const std::vector<std::string> faults = baseline_faults(candidate, options);
    if (faults.empty()) { return {}; }
    return "The baseline tells nothing, and was accepted all the same: " + join(faults, "; ") + ".";
  }
  return {};
}

}  // namespace vortex::study
