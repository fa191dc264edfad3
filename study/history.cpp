#include "study/history.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "study/retest.h"

namespace vortex::study {
namespace {

// Rows of one candidate out of rows of many that are in order of candidates.
template <typename Row, typename Owner>
std::vector<Row> taken(std::vector<Row>& rows, size_t& next, int64_t candidate, Owner owner) {
  std::vector<Row> mine;
  while (next < rows.size() && owner(rows[next]) < candidate) { ++next; }
  while (next < rows.size() && owner(rows[next]) == candidate) { mine.push_back(std::move(rows[next++])); }
  return mine;
}

}  // namespace

const CandidateHistory* History::find(int64_t candidate) const {
  for (const CandidateHistory& entry : candidates) {
    if (entry.row.id == candidate) { return &entry; }
  }
  return nullptr;
}

std::string_view outcome_name(db::CandidateState state, std::optional<job::Verdict> verdict) {
  return state == db::CandidateState::kDone ? name_of(verdict) : name_of(state);
}

std::string origin_name(db::Origin origin, db::Arm arm) {
  return arm == db::Arm::kControl ? kControlArm : std::string(name_of(origin));
}

Result<History> read_history(db::Store& store, const db::Run& run) {
  History history;
  history.run = run;
  VORTEX_ASSIGN(const std::vector<db::Candidate> rows, store.candidates(run.id));
  VORTEX_ASSIGN(std::vector<db::StageRow> stages, store.stages_of_run(run.id));
  VORTEX_ASSIGN(std::vector<db::OutcomeRow> outcomes, store.outcomes_of_run(run.id));
  VORTEX_ASSIGN(std::vector<db::LineageEdge> edges, store.lineage(run.id));
  std::map<int64_t, size_t> place;
  for (const db::Candidate& row : rows) {
    place[row.id] = history.candidates.size();
    history.candidates.push_back({row, {}, {}, {}});
  }
  for (db::StageRow& stage : stages) {
    history.candidates[place.at(stage.candidate)].stages.push_back(std::move(stage));
  }
  for (db::OutcomeRow& outcome : outcomes) {
    history.candidates[place.at(outcome.candidate)].outcomes.push_back(std::move(outcome));
  }
  for (db::LineageEdge& edge : edges) { history.candidates[place.at(edge.child)].parents.push_back(std::move(edge)); }
  return history;
}

Result<History> read_rows(db::Store& store, const db::Run& run) {
  History history;
  history.run = run;
  VORTEX_ASSIGN(std::vector<db::Candidate> rows, store.candidates(run.id));
  for (db::Candidate& row : rows) { history.candidates.push_back({std::move(row), {}, {}, {}}); }
  return history;
}

Result<std::vector<CandidateHistory>> read_range(db::RunReader& reader, db::RunReader::Range range) {
  VORTEX_ASSIGN(std::vector<db::Candidate> rows, reader.candidates(range));
  VORTEX_ASSIGN(std::vector<db::StageRow> stages, reader.stages(range));
  VORTEX_ASSIGN(std::vector<db::OutcomeRow> outcomes, reader.outcomes(range));
  VORTEX_ASSIGN(std::vector<db::LineageEdge> edges, reader.lineage(range));
  size_t next_stage = 0;
  size_t next_outcome = 0;
  size_t next_edge = 0;
  std::vector<CandidateHistory> histories;
  histories.reserve(rows.size());
  for (db::Candidate& row : rows) {
    CandidateHistory history;
    history.stages = taken(stages, next_stage, row.id, [](const db::StageRow& r) { return r.candidate; });
    history.outcomes = taken(outcomes, next_outcome, row.id, [](const db::OutcomeRow& r) { return r.candidate; });
    history.parents = taken(edges, next_edge, row.id, [](const db::LineageEdge& r) { return r.child; });
    history.row = std::move(row);
    histories.push_back(std::move(history));
  }
  return histories;
}

namespace {

// Only these have answers (db::OutcomeRow).
bool asks_problems(job::Stage stage) {
  return stage == job::Stage::kGate || stage == job::Stage::kRace || stage == job::Stage::kConfirm;
}

}  // namespace

Result<CandidateHistory> read_candidate(db::Store& store, int64_t candidate) {
  CandidateHistory history;
  VORTEX_ASSIGN(const std::optional<db::Candidate> row, store.find_candidate(candidate));
  if (!row) { return candidate_error("there is no candidate " + std::to_string(candidate)); }
  history.row = *row;
  VORTEX_ASSIGN(history.stages, store.stages(candidate));
  for (const db::StageRow& stage : history.stages) {
    if (!asks_problems(stage.stage.stage)) { continue; }
    VORTEX_ASSIGN(std::vector<db::OutcomeRow> rows, store.outcomes(candidate, stage.attempt, stage.stage));
    std::move(rows.begin(), rows.end(), std::back_inserter(history.outcomes));
  }
  return history;
}

const db::StageRow* last_stage(const CandidateHistory& candidate, db::StageRound stage) {
  const db::StageRow* last = nullptr;
  for (const db::StageRow& row : candidate.stages) {
    if (row.stage == stage && (last == nullptr || row.attempt >= last->attempt)) { last = &row; }
  }
  return last;
}

std::vector<db::StageRow> last_climb(const CandidateHistory& candidate) {
  const auto is_ours = [](const db::StageRow& row) { return !job::stage_info(row.stage.stage).in_worker; };
  int64_t attempt = 0;
  for (const db::StageRow& row : candidate.stages) {
    const bool aside = is_aside(row.stage) || (row.stage == job::Stage::kConfirm && row.attempt > attempt);
    if (!aside && !is_ours(row)) { attempt = std::max(attempt, row.attempt); }
  }
  std::vector<db::StageRow> climb;
  for (const db::StageRow& row : candidate.stages) {
    if (is_ours(row) || row.attempt == attempt) { climb.push_back(row); }
  }
  return climb;
}

CandidateHistory as_of(CandidateHistory candidate, const Known& known) {
  const std::vector<db::StageRow> climb = last_climb(candidate);
  const auto is_later = [&](const db::StageRow& row) {
    if (is_retest(row.stage)) { return retest_round(row.stage) > known.retests; }
    if (row.stage.stage == job::Stage::kSpeed && is_aside(row.stage)) { return row.stage.round > known.speed_runs; }
    const bool climbed = std::any_of(climb.begin(), climb.end(), [&](const db::StageRow& c) { return c.id == row.id; });
    return is_confirm(row.stage) && !known.confirmed && !climbed;
  };
  std::erase_if(candidate.stages, is_later);
  if (is_done(candidate.row) && !known.confirmed && !climb.empty()) { candidate.row.verdict = climb.back().verdict; }
  return candidate;
}

std::vector<job::Outcome> outcomes_of(const CandidateHistory& candidate, const db::StageRow& stage) {
  std::vector<job::Outcome> outcomes;
  for (const db::OutcomeRow& row : candidate.outcomes) {
    if (row.attempt != stage.attempt || row.stage != stage.stage) { continue; }
    outcomes.push_back({row.problem, static_cast<int>(row.trial), row.correct, static_cast<int>(row.tokens),
                        row.extracted, row.rule, row.tokens_hash});
  }
  return outcomes;
}

namespace {

// The one object of a row's metrics with this name, as an array of it. What else it may be, the caller sees when it
// reads it: a name may stand in another member, or braces in a unit.
std::string cut_out(const std::string& metrics, size_t name) {
  const size_t begin = metrics.rfind('{', name);
  const size_t end = metrics.find('}', name);
  if (begin == std::string::npos || end == std::string::npos) { return {}; }
  return "[" + metrics.substr(begin, end + 1 - begin) + "]";
}

job::Metric found_in(const std::string& metrics, std::string_view name) {
  const auto read = job::metrics_from_json(nlohmann::json::parse(metrics, nullptr, false));
  const job::Metric* metric = read.ok() ? job::find_metric(*read, name) : nullptr;
  return metric == nullptr ? job::Metric{} : *metric;
}

}  // namespace

// Reading a large run is mostly reading metrics, of which one in ten is asked for: that one alone is parsed.
job::Metric metric_of(const db::StageRow& stage, std::string_view name) {
  const size_t place = stage.metrics.find("\"" + std::string(name) + "\"");
  if (place == std::string::npos) { return {}; }
  job::Metric metric = found_in(cut_out(stage.metrics, place), name);
  return metric.name.empty() ? found_in(stage.metrics, name) : metric;
}

db::StageRow to_row(const job::StageResult& result, int64_t candidate, int64_t attempt) {
  db::StageRow row;
  row.candidate = candidate;
  row.attempt = attempt;
  row.stage = result.stage;
  row.verdict = result.verdict;
  row.blame = result.blame;
  row.message = result.message;
  nlohmann::json metrics = nlohmann::json::array();
  for (const job::Metric& metric : result.metrics) { metrics.push_back(job::to_json(metric)); }
  // Worker logs may hold any bytes; the database keeps text.
  row.metrics = metrics.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  row.evidence = result.evidence.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  row.log_tail = result.log_tail;
  row.seconds = result.seconds;
  return row;
}

std::vector<db::OutcomeRow> to_rows(const std::vector<job::Outcome>& outcomes, const db::StageRow& stage) {
  std::vector<db::OutcomeRow> rows;
  for (const job::Outcome& outcome : outcomes) {
    rows.push_back({stage.candidate, stage.attempt, stage.stage, outcome.problem, outcome.trial, outcome.correct,
                    outcome.tokens, outcome.extracted, outcome.rule, outcome.tokens_hash});
  }
  return rows;
}

}  // namespace vortex::study
