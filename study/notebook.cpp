#include "study/notebook.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/escape.h"
#include "base/text.h"
#include "study/front.h"
#include "study/options.h"
#include "study/standing.h"

namespace vortex::study {
namespace {

using nlohmann::json;

// Half the width of the interval of a difference of two independent estimates, from their half-widths.
evals::Interval independent_difference(const evals::Interval& a, const evals::Interval& b) {
  const double value = a.value - b.value;
  return {value, value - std::hypot(a.value - a.lo, b.hi - b.value),
          value + std::hypot(a.hi - a.value, b.value - b.lo)};
}

std::optional<evals::Interval> speed_of(const CandidateHistory& candidate, RankSpeed rank) {
  if (is_dense(candidate.row)) { return evals::Interval{1, 1, 1}; }
  if (rank == RankSpeed::kModelled) { return stage_metric(candidate, job::Stage::kCheck, kModelledSpeedup); }
  const std::vector<SpeedRun> runs = speed_runs_of(candidate);
  if (runs.empty()) { return std::nullopt; }
  return speed_of_runs(runs, {}).ratio;
}

const CandidateHistory* at_place(const History& history, const db::Note& note) {
  for (const CandidateHistory& candidate : history.candidates) {
    const db::Candidate& row = candidate.row;
    if (row.batch == note.batch && row.slot == note.slot && row.draw == note.draw && row.arm == db::Arm::kSearch) {
      return &candidate;
    }
  }
  return nullptr;
}

const CandidateHistory* against(const History& history, int64_t id) {
  if (id != 0) { return history.find(id); }
  for (const CandidateHistory& candidate : history.candidates) {
    if (is_dense(candidate.row)) { return &candidate; }
  }
  return nullptr;
}

std::string where_it_ended(const CandidateHistory& candidate) {
  if (candidate.stages.empty()) { return "never evaluated"; }
  const db::StageRow& last = candidate.stages.back();
  return "candidate " + std::to_string(candidate.row.id) + " ended at " + db::stage_round_name(last.stage) + " (" +
         std::string(name_of(last.verdict)) + ")";
}

db::NoteVerdict verdict_on(const db::Note& note, const Prediction& prediction, const CandidateHistory& candidate,
                           const History& history, const SearchOptions& options) {
  db::NoteVerdict verdict;
  verdict.note = note.id;
  const CandidateHistory* other = against(history, prediction.against);
  if (other == nullptr) {
    verdict.reason = "there is no candidate " + std::to_string(prediction.against) + " to compare with";
    return verdict;
  }
  const auto effect = measured_effect(prediction, candidate, *other, options.rank_speed, options.seed);
  if (!effect) {
    verdict.reason = prediction.metric + " was not measured: " + where_it_ended(candidate);
    return verdict;
  }
  verdict.verdict = judge(prediction, *effect);
  verdict.value = effect->value;
  verdict.lo = effect->lo;
  verdict.hi = effect->hi;
  verdict.reason = prediction.metric + " of candidate " + std::to_string(candidate.row.id) + " minus that of " +
                   (is_dense(other->row) ? "dense attention" : "candidate " + std::to_string(other->row.id));
  return verdict;
}

std::string prediction_text(const json& entry) {
  const json& prediction = entry["prediction"];
  if (!prediction.is_object() || prediction.empty()) { return {}; }
  const double by = prediction.value("by", 0.0);
  const int64_t number = prediction.value("against", int64_t{0});
  const std::string other = number == 0 ? "dense" : "candidate " + std::to_string(number);
  const std::string metric = prediction.value("metric", "");
  const std::string direction = prediction.value("direction", "");
  if (direction == "same") { return " Predicted: " + metric + " within " + format_number(by) + " of " + other + "."; }
  return " Predicted: " + metric + " " + direction + " than " + other +
         (by > 0 ? " by more than " + format_number(by) : std::string()) + ".";
}

std::string line_of(const json& entry) {
  const std::string kind = entry["kind"];
  const int64_t candidate = entry["candidate"];
  std::string line = "- ";
  if (kind == "hypothesis") { line += "[" + entry["verdict"].get<std::string>() + "] "; }
  line += terminal_line(entry["text"].get<std::string>());  // one note, one line
  if (candidate != 0 && kind == "hypothesis") { line += " (candidate " + std::to_string(candidate) + ")"; }
  line += prediction_text(entry);
  if (entry.contains("effect")) {
    char effect[96];
    std::snprintf(effect, sizeof effect, " Measured: %+.3f (%+.3f to %+.3f).", entry["effect"]["value"].get<double>(),
                  entry["effect"]["lo"].get<double>(), entry["effect"]["hi"].get<double>());
    line += effect;
  } else if (kind == "hypothesis" && !entry["reason"].get<std::string>().empty()) {
    line += " " + entry["reason"].get<std::string>() + ".";
  }
  return line + "\n";
}

// Verdicts tell most, then what to avoid, then what is open; newest first in each.
int rank_of(const json& entry) {
  const std::string kind = entry["kind"];
  if (kind == "question") { return 3; }
  if (kind == "anti-pattern") { return 1; }
  const std::string verdict = entry["verdict"];
  return verdict == "open" || verdict == "inconclusive" ? 2 : 0;
}

}  // namespace

db::Finding judge(const Prediction& prediction, const evals::Interval& effect) {
  double lo = effect.lo;
  double hi = effect.hi;
  if (prediction.direction == "same") {
    if (lo >= -prediction.by && hi <= prediction.by) { return db::Finding::kConfirmed; }
    return hi < -prediction.by || lo > prediction.by ? db::Finding::kRefuted : db::Finding::kInconclusive;
  }
  if (prediction.direction == "lower") {
    lo = -effect.hi;
    hi = -effect.lo;
  }
  if (lo > prediction.by) { return db::Finding::kConfirmed; }
  return hi <= prediction.by ? db::Finding::kRefuted : db::Finding::kInconclusive;
}

std::optional<evals::Interval> measured_effect(const Prediction& prediction, const CandidateHistory& candidate,
                                               const CandidateHistory& other, RankSpeed rank, uint64_t seed) {
  if (prediction.metric == "accuracy") {
    const db::StageRow* race = last_stage(candidate, job::Stage::kRace);
    const db::StageRow* other_race = last_stage(other, job::Stage::kRace);
    if (race == nullptr || other_race == nullptr) { return std::nullopt; }
    const std::vector<job::Outcome> outcomes = outcomes_of(candidate, *race);
    const std::vector<job::Outcome> other_outcomes = outcomes_of(other, *other_race);
    if (outcomes.empty() || other_outcomes.empty()) { return std::nullopt; }
    return evals::paired_difference(outcomes, other_outcomes, seed);
  }
  const bool speed = prediction.metric == "speed";
  const auto mine = speed ? speed_of(candidate, rank) : stage_metric(candidate, job::Stage::kRecall, prediction.metric);
  const auto theirs = speed ? speed_of(other, rank) : stage_metric(other, job::Stage::kRecall, prediction.metric);
  if (!mine || !theirs) { return std::nullopt; }
  return independent_difference(*mine, *theirs);
}

Status settle_hypotheses(db::Store& store, const History& history, const SearchOptions& options, int64_t batch) {
  VORTEX_ASSIGN(const std::vector<db::Note> notes, store.notes(history.run.id));
  for (const db::Note& note : notes) {
    if (note.kind != db::NoteKind::kHypothesis || note.batch > batch) { continue; }
    const CandidateHistory* candidate = at_place(history, note);
    if (candidate == nullptr || !is_done(candidate->row)) { continue; }
    const auto prediction = prediction_from_json(json::parse(note.prediction, nullptr, false));
    if (!prediction.ok()) {
      continue;  // registered without a prediction: nothing to judge
    }
    VORTEX_TRY(store.add_verdict(verdict_on(note, *prediction, *candidate, history, options)));
  }
  return ok_status();
}

Result<json> notebook_json(db::Store& store, const History& history, int64_t batch) {
  VORTEX_ASSIGN(const std::vector<db::Note> notes, store.notes(history.run.id));
  VORTEX_ASSIGN(const std::vector<db::NoteVerdict> verdicts, store.verdicts(history.run.id));
  std::map<int64_t, const db::NoteVerdict*> verdict_of;
  for (const db::NoteVerdict& verdict : verdicts) { verdict_of[verdict.note] = &verdict; }
  std::map<std::tuple<int64_t, int64_t, int64_t>, int64_t> places;  // by batch, slot and draw
  for (const CandidateHistory& candidate : history.candidates) {
    const db::Candidate& row = candidate.row;
    if (row.arm == db::Arm::kSearch) { places.emplace(std::tuple(row.batch, row.slot, row.draw), row.id); }
  }
  json entries = json::array();
  for (const db::Note& note : notes) {
    if (note.batch > batch) { continue; }
    const auto place = places.find({note.batch, note.slot, note.draw});
    json entry = {{"kind", note.kind},
                  {"text", note.text},
                  {"batch", note.batch},
                  {"prediction", json::parse(note.prediction, nullptr, false)},
                  {"candidate", place == places.end() ? 0 : place->second},
                  {"verdict", "open"},
                  {"reason", ""}};
    const auto found = verdict_of.find(note.id);
    if (found != verdict_of.end()) {
      const db::NoteVerdict& verdict = *found->second;
      entry["verdict"] = verdict.verdict;
      entry["reason"] = verdict.reason;
      const bool measured = verdict.value != 0 || verdict.lo != 0 || verdict.hi != 0;
      if (measured) { entry["effect"] = {{"value", verdict.value}, {"lo", verdict.lo}, {"hi", verdict.hi}}; }
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<const json*> by_weight(const json& entries) {
  std::vector<const json*> order;
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) { order.push_back(&*entry); }
  std::stable_sort(order.begin(), order.end(), [](const json* a, const json* b) { return rank_of(*a) < rank_of(*b); });
  return order;
}

Result<std::string> notebook_markdown(db::Store& store, const History& history, int64_t batch, int64_t tokens) {
  VORTEX_ASSIGN(const json entries, notebook_json(store, history, batch));
  static constexpr const char* kTitles[] = {"Decided by data", "Anti-patterns", "Open or inconclusive", "Questions"};
  std::string text;
  int title = -1;
  size_t left_out = 0;
  for (const json* entry : by_weight(entries)) {
    std::string lines;
    if (rank_of(*entry) != title) { lines = std::string(text.empty() ? "" : "\n") + kTitles[rank_of(*entry)] + ":\n"; }
    lines += line_of(*entry);
    if (estimated_tokens(text + lines) > tokens) {
      ++left_out;
      continue;
    }
    title = rank_of(*entry);
    text += lines;
  }
  if (left_out > 0) { text += "\n" + std::to_string(left_out) + " older notes are left out.\n"; }
  return text.empty() ? std::string("Nothing yet.\n") : text;
}

}  // namespace vortex::study
