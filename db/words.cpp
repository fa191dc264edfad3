#include "db/words.h"

#include <charconv>

namespace vortex::db {
namespace {

constexpr std::string_view kRetest = "retest";

// The number behind "<word>-"; nullopt where `name` is anything else, or below `least`.
std::optional<int> numbered(std::string_view name, std::string_view word, int least) {
  if (!name.starts_with(word) || name.size() < word.size() + 2 || name[word.size()] != '-') { return std::nullopt; }
  const std::string_view digits = name.substr(word.size() + 1);
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < least) { return std::nullopt; }
  return number;
}

}  // namespace

std::string stage_round_name(StageRound which) {
  if (which.round <= 1) { return std::string(job::stage_name(which.stage)); }
  if (which.stage == job::Stage::kRace) { return std::string(kRetest) + "-" + std::to_string(which.round - 1); }
  return std::string(job::stage_name(which.stage)) + "-" + std::to_string(which.round);
}

std::string stage_round_name(const std::optional<StageRound>& which) {
  return which ? stage_round_name(*which) : std::string();
}

std::optional<StageRound> stage_round_from_name(std::string_view name) {
  if (const auto stage = job::stage_from_name(name)) { return StageRound(*stage); }
  if (const auto retest = numbered(name, kRetest, 1)) { return StageRound(job::Stage::kRace, *retest + 1); }
  for (const job::Stage stage : {job::Stage::kSpeed, job::Stage::kConfirm}) {
    if (const auto round = numbered(name, job::stage_name(stage), 2)) { return StageRound(stage, *round); }
  }
  return std::nullopt;
}

}  // namespace vortex::db
