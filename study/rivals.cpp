#include "study/rivals.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

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

void add_rival(job::Rival rival, std::vector<job::Rival>& rivals) {
  const auto mean_kl = [](const job::Rival& one) {
    const double sum = std::accumulate(one.answer_kl.begin(), one.answer_kl.end(), 0.0);
    return sum / std::max<double>(1, static_cast<double>(one.answer_kl.size()));
  };
  const auto covers = [&](const job::Rival& a, const job::Rival& b) {
    return a.answer_bytes <= b.answer_bytes && mean_kl(a) <= mean_kl(b);
  };
  const auto covered = [&](const job::Rival& one) { return covers(one, rival); };
  if (std::any_of(rivals.begin(), rivals.end(), covered)) { return; }
  std::erase_if(rivals, [&](const job::Rival& one) { return covers(rival, one); });
  rivals.push_back(std::move(rival));
}

}  // namespace vortex::study
