#include "study/facts.h"
#include "study/lineage.h"
#include "web/server/json.h"
#include "web/server/views.h"

namespace vortex::web {
namespace {

using nlohmann::json;

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
  const db::Run row = run.run();
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open_read_only(workspace));
  VORTEX_ASSIGN(const std::unique_ptr<db::RunReader> reader, db::RunReader::open(workspace, row.id));
  VORTEX_ASSIGN(const study::Facts facts, run.with_board([&](const study::Board& board, const LiveRun::Parents&) {
    return study::facts_of({row, run.options(), board, *store, *reader}, study::Undecided::kLeftOut);
  }));
  std::string lineage;
  for (const study::FrontRow& member : facts.front) {
    if (!member.is_dense()) { lineage += study::ancestry_text(facts.few, member.id); }
  }
  json commands = json::array();
  for (const study::NextStep& step : study::next_steps(row, facts)) {
    commands.push_back({{"name", step.name}, {"command", command_of(vortex, step.arguments)}});
  }
  std::string machine = study::machine_text(facts);
  const std::string card = study::card_text(facts.card);
  if (!card.empty()) { machine += (machine.empty() ? "" : " ") + card; }
  return json{{"themes", facts.themes},         {"arms", arms_json(facts)},
              {"no_arms", facts.no_arms},       {"machine", machine},
              {"stages", stages_json(facts)},   {"lineage", lineage},
              {"commands", std::move(commands)}};
}

}  // namespace vortex::web
