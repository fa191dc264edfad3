#include "agent/loop/trials.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "study/held_out.h"

namespace vortex::agent {
namespace {

constexpr const char* kAskedEvent = "held-out";  // a candidate takes its place among those asked

}  // namespace

Result<bool> Trials::has_asked() const {
  VORTEX_ASSIGN(const std::vector<db::Event> events, parts_.session.store().events(parts_.session.run().id));
  return std::any_of(events.begin(), events.end(), [](const db::Event& event) { return event.kind == kAskedEvent; });
}

int Trials::rounds() const { return static_cast<int>(study::held_out_rounds(parts_.options).size()); }

size_t Trials::place_of(int64_t candidate) const {
  const auto is_it = [&](const Trial& trial) { return trial.finalist.candidate == candidate; };
  return static_cast<size_t>(std::find_if(trials_.begin(), trials_.end(), is_it) - trials_.begin());
}

// Round after round, each until it is clear what can be said of it; of those asked at once a later one goes on where an
// earlier one turns out not to be kept. Where batches overlap there are workers for all rounds of dense attention at
// once, and for as many rounds of the others as make a batch: those behind the one that decides are not looked at. Else
// one round at a time, which dense attention answers first.
Result<Trials::Asked> Trials::ask(const std::vector<int64_t>& candidates) {
  const int dense_rounds = rounds();
  const int together = std::max(1, static_cast<int>(candidates.size()));
  const bool overlaps = parts_.options.overlap > 0;
  const int at_once = overlaps ? std::max(1, parts_.options.batch / together) : 1;
  if (overlaps) { VORTEX_TRY(answer({knowledge_.dense()}, 1, dense_rounds)); }
  VORTEX_TRY(add(candidates));
  while (!parts_.session.ended()) {
    int round = 0;
    const std::vector<int64_t> next = least_advanced(candidates, round);
    if (next.empty()) { break; }
    if (!overlaps) { VORTEX_TRY(answer({knowledge_.dense()}, round + 1, round + 1)); }
    VORTEX_TRY(answer(next, round + 1, std::min(dense_rounds, round + at_once)));
    if (parts_.session.ended()) { break; }
    for (const int64_t candidate : next) { VORTEX_TRY(take(trial_of(candidate))); }
  }
  Asked asked;
  for (const int64_t candidate : candidates) {
    const Trial& trial = trial_of(candidate);
    asked.failed = asked.failed || trial.failed;
    if (trial.kept) { asked.kept.push_back(candidate); }
  }
  return asked;
}

// Judges these; gives those that go on and have the fewest rounds behind them, and how many.
std::vector<int64_t> Trials::least_advanced(const std::vector<int64_t>& candidates, int& round) {
  round = rounds();
  for (const int64_t candidate : candidates) {
    Trial& trial = trial_of(candidate);
    judge(trial);
    if (!trial.ended) { round = std::min(round, trial.round); }
  }
  std::vector<int64_t> next;
  for (const int64_t candidate : candidates) {
    const Trial& trial = trial_of(candidate);
    if (!trial.ended && trial.round == round) { next.push_back(candidate); }
  }
  return next;
}

// Gives a place to those that have none. They are written down before anybody is asked: a later sitting goes on behind.
Status Trials::add(const std::vector<int64_t>& candidates) {
  if (trials_.empty()) { VORTEX_TRY(recall()); }
  for (const int64_t candidate : candidates) {
    if (has_asked(candidate)) { continue; }
    const std::string detail = nlohmann::json({{"candidate", candidate}}).dump();
    VORTEX_TRY(parts_.session.store().add_event(parts_.session.run().id, kAskedEvent, detail));
    trials_.push_back({{candidate, {}, std::nullopt}});
  }
  for (const int64_t candidate : candidates) {
    trial_of(candidate).round = 0;
    trial_of(candidate).failed = false;
  }
  return ok_status();
}

// Those who were asked in earlier sittings, as far as each came.
Status Trials::recall() {
  VORTEX_ASSIGN(const std::vector<db::Event> events, parts_.session.store().events(parts_.session.run().id));
  for (const db::Event& event : events) {
    if (event.kind != kAskedEvent) { continue; }
    const auto detail = nlohmann::json::parse(event.detail, nullptr, false);
    VORTEX_ASSIGN(const study::CandidateHistory own, knowledge_.read(detail.value("candidate", int64_t{0})));
    Trial trial;
    trial.finalist = study::finalist_of(own);
    trial.round = rounds();
    const bool passed = study::point_of(own, parts_.options.rank_speed, parts_.options.seed).has_value();
    trial.failed = !passed || trial.finalist.outcomes.empty();  // it did not come to an answer
    trials_.push_back(std::move(trial));
  }
  VORTEX_ASSIGN(const study::CandidateHistory dense, knowledge_.read(knowledge_.dense()));
  dense_ = study::held_out_outcomes(dense);
  for (Trial& trial : trials_) { judge(trial); }
  return ok_status();
}

// The rules for one who was asked: those before it that promised a claim and were not kept make it harder.
study::SequenceRules Trials::rules_for(int64_t candidate) const {
  std::vector<int64_t> lost;
  for (const Trial& earlier : trials_) {
    if (earlier.finalist.candidate == candidate) { break; }
    if (earlier.ended && !earlier.kept && !earlier.failed) { lost.push_back(earlier.finalist.candidate); }
  }
  study::SequenceRules rules = knowledge_.rules();
  if (!lost.empty()) {
    rules.failures +=
        static_cast<int>(study::asked_sequence(knowledge_.standing().archive(), knowledge_.rules(), lost).size());
  }
  return rules;
}

void Trials::judge(Trial& trial) const {
  const uint64_t seed = parts_.options.seed;
  const study::SequenceRules rules = rules_for(trial.finalist.candidate);
  const bool answered = trial.round > 0 && !trial.failed;
  const study::Finalist seen = study::until_decided(trial.finalist, dense_, rules, seed);
  trial.kept = answered && study::judge_claims({seen}, dense_, rules, seed).front().kept;
  trial.ended = trial.failed || trial.round == rounds() || (answered && study::is_decided(seen, dense_, rules, seed));
}

Result<study::Claim> Trials::claim_of(int64_t candidate) const {
  VORTEX_ASSIGN(const study::CandidateHistory own, knowledge_.read(candidate));
  const uint64_t seed = parts_.options.seed;
  const study::SequenceRules rules = rules_for(candidate);
  const study::Finalist finalist = study::until_decided(study::finalist_of(own), dense_, rules, seed);
  return study::judge_claims({finalist}, dense_, rules, seed).front();
}

// Takes in what it answered in its next round.
Status Trials::take(Trial& trial) {
  const int64_t candidate = trial.finalist.candidate;
  VORTEX_ASSIGN(const study::CandidateHistory dense, knowledge_.read(knowledge_.dense()));
  VORTEX_ASSIGN(const study::CandidateHistory own, knowledge_.read(candidate));
  knowledge_.set_confirmed(candidate);
  trial.failed = !study::point_of(own, parts_.options.rank_speed, parts_.options.seed).has_value();
  if (trial.failed) { knowledge_.absorb(own); }
  dense_ = study::held_out_outcomes(dense);
  trial.finalist = study::finalist_of(own, ++trial.round);
  return ok_status();
}

Status Trials::answer(const std::vector<int64_t>& candidates, int first, int last) {
  if (parts_.session.ended()) { return ok_status(); }
  VORTEX_ASSIGN(const std::vector<Assignment> all, tasks(candidates, first, last));
  return parts_.evaluator.run(all);
}

Result<std::vector<Assignment>> Trials::tasks(const std::vector<int64_t>& candidates, int first, int last) const {
  std::vector<Assignment> all;
  for (const int64_t candidate : candidates) {
    for (int round = first; round <= last; ++round) {
      VORTEX_ASSIGN(std::optional<Assignment> task, task_of(candidate, round));
      if (task) { all.push_back(std::move(*task)); }
    }
  }
  return all;
}

// Nothing where there is no such round.
Result<std::optional<Assignment>> Trials::task_of(int64_t candidate, int round) const {
  std::optional<job::Job> job = study::held_out_job(parts_.options, round);
  if (!job) { return std::optional<Assignment>{}; }
  job->dense = candidate == knowledge_.dense();
  VORTEX_TRY(parts_.shelf.fill(candidate, *job));
  if (parts_.shelf.contains(candidate)) {
    VORTEX_ASSIGN(const study::CandidateHistory dense, knowledge_.read(knowledge_.dense()));
    job->incumbent = study::held_out_outcomes(dense);
  }
  Assignment task{Assignment::Kind::kConfirm, candidate, std::move(*job), round, true};
  if (has_asked(candidate)) { task.place = static_cast<int>(place_of(candidate)) + 1; }
  return std::optional(std::move(task));
}

}  // namespace vortex::agent
