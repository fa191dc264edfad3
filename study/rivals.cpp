#include "study/rivals.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vortex::study {

std::optional<job::Rival> rival_of(const std::vector<db::StageRow>& stages) {
  const auto recall = std::find_if(stages.rbegin(), stages.rend(), [](const db::StageRow& row) {
    return row.stage == db::StageRound(job::Stage::kRecall);
  });
  if (recall == stages.rend()) { return std::nullopt; }
  try {
    const nlohmann::json evidence = nlohmann::json::parse(recall->evidence);
    job::Rival rival;
    rival.candidate = recall->candidate;
    evidence.at("answer_bytes").get_to(rival.answer_bytes);
    for (const nlohmann::json& answer : evidence.at("answers")) {
      rival.answer_kl.push_back(answer.at("kl").get<double>());
    }
    return rival;
  } catch (const nlohmann::json::exception&) {  // none were forced, or by an older program
    return std::nullopt;
  }
}

}  // namespace vortex::study
