#include "study/facts.h"
#include "study/lineage.h"
#include "web/server/json.h"
#include "web/server/views.h"

namespace vortex::web {
namespace {

using nlohmann::json;

constexpr int kMostCandidates = 5000;  // all rows of a larger run take seconds and a gigabyte

json arms_json(const study::Facts& facts) {
  if (!facts.arms) { return nullptr; }
  return {{"verdict", study::arms_text(*facts.arms)},
          {"matched", facts.arms->matched},
          {"search", facts.arms->search},
          {"control", facts.arms->control},
          {"difference", facts.arms->difference},
          {"p", facts.arms->p}};
}

json stages_json(const study::Facts& facts) {
  json stages = json::array();
  for (const std::string& stage : study::counted_stages()) {
    const auto seconds = facts.stage_seconds.find(stage);
    if (seconds == facts.stage_seconds.end()) { continue; }
    stages.push_back({{"stage", stage}, {"seconds", rounded(seconds->second, 1e3)}});
  }
  return stages;
}

}  // namespace

Result<json> brief_json(const std::filesystem::path& workspace, const LiveRun& run, const std::string& vortex) {
  const int candidates =
      run.with_board([](const study::Board& board, const LiveRun::Parents&) { return board.candidates(); });
  if (candidates > kMostCandidates) {
    return candidate_error("a run of " + std::to_string(candidates) + " candidates is too large to brief on a page",
                           "`vortex report` does, in a minute");
  }
  VORTEX_ASSIGN(const study::LoadedRun loaded, study::load_run(workspace.string(), run.run().name));
  VORTEX_ASSIGN(const study::Facts facts, study::facts_of(loaded));
  std::string lineage;
  for (const study::FrontRow& row : facts.front) {
    if (!row.is_dense() && !row.undecided) { lineage += study::ancestry_text(loaded.history, row.id); }
  }
  json commands = json::array();
  for (const study::NextStep& step : study::next_steps(loaded, facts)) {
    commands.push_back({{"name", step.name}, {"command", command_of(vortex, step.arguments)}});
  }
  std::string machine = study::machine_text(facts);
  const std::string card = study::card_text(facts.card);
  if (!card.empty()) { machine += (machine.empty() ? "" : " ") + card; }
  return json{{"themes", facts.themes},       {"arms", arms_json(facts)}, {"machine", machine},
              {"stages", stages_json(facts)}, {"lineage", lineage},       {"commands", std::move(commands)}};
}

}  // namespace vortex::web
