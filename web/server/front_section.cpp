#include "web/server/front_section.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "job/stage.h"
#include "study/baseline.h"
#include "study/front.h"
#include "study/held_out.h"
#include "study/hypervolume.h"
#include "study/loaded_run.h"
#include "study/resources.h"
#include "web/server/json.h"

namespace vortex::web {
namespace {

using nlohmann::json;

// What held-out problems say, by the one rule for claims: dense, kept, lost or undecided.
std::string keeps(const study::FrontRow& row) {
  if (row.is_dense()) { return "dense"; }
  if (!row.claim) { return "undecided"; }
  if (row.claim->kept) { return "kept"; }
  return row.claim->keeping == evals::Keeping::kLost ? "lost" : "undecided";
}

// A history of the run with the given candidates alone.
Result<study::LoadedRun> loaded(const std::filesystem::path& workspace, const db::Run& run,
                                const study::SearchOptions& options, const std::vector<int64_t>& candidates) {
  study::LoadedRun result;
  VORTEX_ASSIGN(result.store, db::Store::open_read_only(workspace));
  result.options = options;
  result.history.run = run;
  for (int64_t id : candidates) {
    VORTEX_ASSIGN(study::CandidateHistory history, study::read_candidate(*result.store, id));
    result.history.candidates.push_back(std::move(history));
  }
  return result;
}

// Few of very many confirmed candidates are finalists: only these are read.
std::vector<int64_t> finalists_of(const study::Board& board, const study::SearchOptions& options) {
  std::set<int64_t> asked;
  for (const study::BoardLine& line : board.lines()) {
    if (line.confirmed && line.candidate != board.dense()) { asked.insert(line.candidate); }
  }
  if (asked.empty()) { return {}; }
  return study::best_sequence(board.standing().archive(), study::sequence_rules(options), &asked);
}

json best_json(const study::Best& best) {
  return {{"candidate", best.row.id},
          {"speed", to_json(best.claim.speed->ratio)},
          {"accuracy", to_json(best.claim.accuracy)},
          {"dense_accuracy", to_json(best.claim.dense_accuracy)},
          {"difference", to_json(best.claim.difference)},
          {"confirmed", to_json(best.row.confirmed)}};
}

}  // namespace

Result<FrontSection> read_front(const std::filesystem::path& workspace, const db::Run& run,
                                const study::SearchOptions& options, const study::Board& board) {
  FrontSection section;
  const study::Archive& archive = board.standing().archive();
  const std::vector<int64_t> sequence = finalists_of(board, options);
  std::vector<int64_t> ids = sequence;
  for (size_t i : archive.front()) { ids.push_back(archive.points()[i].candidate); }
  if (ids.empty()) { return section; }
  if (board.dense() != 0) { ids.push_back(board.dense()); }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  VORTEX_ASSIGN(const study::LoadedRun few, loaded(workspace, run, options, ids));
  const study::Standing& standing = board.standing();
  const std::vector<study::Claim> claims = study::claims_on(few.history, options, standing, sequence);
  const std::vector<study::FrontRow> rows = study::member_rows(few.history, options, standing, claims);
  const study::Point* dense = nullptr;
  for (size_t i : archive.front()) {
    if (archive.points()[i].reference) { dense = &archive.points()[i]; }
  }
  for (const study::FrontRow& row : rows) {
    const study::Point* point = board.point(row.id);
    const study::BoardLine* line = board.find(row.id);
    json difference;
    if (!row.is_dense() && point != nullptr && dense != nullptr) {
      difference = to_json(evals::paired_difference(point->outcomes, dense->outcomes, options.seed));
    }
    section.members.push_back({{"candidate", row.id},
                               {"origin", row.origin},
                               {"made_by", line == nullptr ? row.made_by : line->made_by},
                               {"rationale", row.rationale},
                               {"accuracy", to_json(row.accuracy)},
                               {"ceiling", to_json(row.ceiling)},
                               {"speed", to_json(row.speed)},
                               {"tokens_per_s", to_json(row.tokens_per_s)},
                               {"confirmed", to_json(row.confirmed)},
                               {"difference", difference},
                               {"front_probability", rounded(row.front_probability)},
                               {"keeps", keeps(row)},
                               {"found_seconds", nullptr}});
  }
  const std::optional<study::Best> best = study::best_of(claims, rows);
  if (best) { section.best = best_json(*best); }
  section.doubts = {{"no_claim", best ? "" : study::no_claim_text(claims, options)},
                    {"baseline", study::baseline_warning(few.history, options)}};
  section.hypervolume = to_json(study::hypervolume_interval(standing.front(), options.seed));
  return section;
}

json run_json(const db::Run& run, const study::SearchOptions& options, bool lock_held) {
  const std::string model = std::filesystem::path(options.job.model_path).filename().string();
  return {{"id", run.id},
          {"name", run.name},
          {"state", run.state == db::RunState::kRunning && !lock_held ? "cut off" : name_of(run.state)},
          {"started", run.started},
          {"ended", run.ended},
          {"seconds_used", rounded(run.seconds_used, 10)},
          {"seconds_limit", options.seconds},
          {"proposer", options.proposer},
          {"model", model.empty() ? options.job.model_path : model},
          {"task", options.job.task.kind},
          {"problems", options.job.task.problems},
          {"margin", options.margin},
          {"speed_is", study::rank_speed_name(options.rank_speed)}};
}

json request_json(const db::Request& request) {
  const char* state = request.ended > 0 ? "done" : request.batch > 0 ? "taken" : "waiting";
  return {{"id", request.id}, {"kind", request.kind},   {"candidate", request.candidate}, {"created", request.created},
          {"state", state},   {"taken", request.taken}, {"ended", request.ended},         {"result", request.result}};
}

json spent_json(const db::Run& run, const study::SearchOptions& options, int evaluated, double tokens, double dollars) {
  const study::Limits limits = study::limits_of(options);
  const std::map<study::Resource, double> used = {{study::Resource::kSeconds, run.seconds_used},
                                                  {study::Resource::kGpuSeconds, run.gpu_seconds_used},
                                                  {study::Resource::kEvaluations, evaluated},
                                                  {study::Resource::kTokens, tokens},
                                                  {study::Resource::kDollars, dollars}};
  json spent = json::array();
  for (study::Resource resource : study::kResources) {
    const auto limit = limits.find(resource);
    spent.push_back({{"what", study::resource_name(resource)},
                     {"used", rounded(used.at(resource), 1e4)},
                     {"limit", limit == limits.end() ? 0.0 : limit->second}});
  }
  return spent;
}

std::string next_stage(const std::optional<db::StageRound>& stage, const study::SearchOptions& options) {
  const std::vector<job::Stage>& stages = options.job.stages;
  if (stages.empty()) { return "a stage"; }
  const auto same = [&](job::Stage one) { return stage == db::StageRound(one); };
  const auto found = std::find_if(stages.begin(), stages.end(), same);
  if (found == stages.end()) { return std::string(job::stage_name(stages.front())); }
  return std::string(found + 1 == stages.end() ? "the end" : job::stage_name(*(found + 1)));
}

}  // namespace vortex::web
