#include "web/server/front_section.h"

#include <algorithm>
#include <filesystem>
#include <map>

#include "job/stage.h"
#include "study/baseline.h"
#include "study/hypervolume.h"
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

json best_json(const study::Best& best) {
  return {{"candidate", best.row.id},
          {"speed", to_json(best.claim.speed->ratio)},
          {"accuracy", to_json(best.claim.accuracy)},
          {"dense_accuracy", to_json(best.claim.dense_accuracy)},
          {"difference", to_json(best.claim.difference)},
          {"confirmed", to_json(best.row.confirmed)}};
}

}  // namespace

Result<FrontSection> read_front(const study::RunView& view) {
  FrontSection section;
  const study::Archive& archive = view.board.standing().archive();
  if (archive.front().empty()) { return section; }
  VORTEX_ASSIGN(const study::Shown shown, study::read_shown(view, study::Undecided::kLeftOut));
  const study::Point* dense = nullptr;
  for (size_t i : archive.front()) {
    if (archive.points()[i].reference) { dense = &archive.points()[i]; }
  }
  for (const study::FrontRow& row : shown.rows) {
    const study::Point* point = view.board.point(row.id);
    const study::BoardLine* line = view.board.find(row.id);
    json difference;
    if (!row.is_dense() && point != nullptr && dense != nullptr) {
      difference = to_json(evals::paired_difference(point->outcomes, dense->outcomes, view.options.seed));
    }
    section.members.push_back({{"candidate", row.id},
                               {"origin", row.origin},
                               {"made_by", line == nullptr ? row.made_by : line->made_by},
                               {"rationale", row.rationale},
                               {"accuracy", to_json(row.accuracy)},
                               {"shrunk", to_json(row.shrunk)},
                               {"ceiling", to_json(row.ceiling)},
                               {"speed", to_json(row.speed)},
                               {"tokens_per_s", to_json(row.tokens_per_s)},
                               {"confirmed", to_json(row.confirmed)},
                               {"difference", difference},
                               {"front_probability", rounded(row.front_probability)},
                               {"keeps", keeps(row)},
                               {"found_seconds", nullptr}});
  }
  const std::optional<study::Best> best = study::best_of(shown.claims, shown.rows);
  if (best) { section.best = best_json(*best); }
  section.doubts = {{"no_claim", best ? "" : study::no_claim_text(shown.claims, view.options)},
                    {"baseline", study::baseline_warning(shown.few, view.options)}};
  section.hypervolume = to_json(study::hypervolume_interval(view.board.standing().front(), view.options.seed));
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
