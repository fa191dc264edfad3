#include "cli/show/front_table.h"

namespace vortex::cli {
namespace {

nlohmann::json optional_json(const std::optional<evals::Interval>& interval) {
  return interval ? interval_json(*interval) : nlohmann::json();
}

}  // namespace

std::string claim_cell(const study::FrontRow& row) {
  if (row.is_dense()) { return "-"; }
  if (!row.claim || row.claim->problems == 0) { return "not asked"; }
  const study::Claim& claim = *row.claim;
  return std::string(evals::keeping_name(claim.keeping)) + ": " + interval_text(claim.difference, 3) + " on " +
         std::to_string(claim.problems);
}

std::string shrunk_cell(const std::optional<evals::Interval>& shrunk) {
  return shrunk ? (shrunk->value > 0 ? "+" : "") + fixed(shrunk->value, 3) : "-";
}

Table front_table(const std::vector<study::FrontRow>& rows) {
  Table table({"id", "origin", "accuracy", "dense there", "shrunk", "ceiling", "speed over dense", "tok/s",
               "P(on front)", "held-out", "what"});
  table.may_drop({"dense there", "tok/s", "ceiling", "origin", "shrunk", "P(on front)", "what", "held-out"});
  table.tint("held-out");
  for (const study::FrontRow& row : rows) {
    table.add({std::to_string(row.id), std::string(name_of(row.origin)) + (row.undecided ? " (undecided)" : ""),
               interval_text(row.accuracy, 3), fixed(row.dense_accuracy.value, 3), shrunk_cell(row.shrunk),
               row.ceiling ? fixed(row.ceiling->value, 3) : "-", interval_text(row.speed, 2),
               row.tokens_per_s ? fixed(row.tokens_per_s->value, 1) : "-", fixed(row.front_probability, 2),
               claim_cell(row), row.made_by});
  }
  return table;
}

namespace {

nlohmann::json claim_json(const std::optional<study::Claim>& claim) {
  if (!claim) { return nullptr; }
  return {{"problems", claim->problems},
          {"keeping", evals::keeping_name(claim->keeping)},
          {"kept", claim->kept},
          {"faster", claim->faster},
          {"accuracy", interval_json(claim->accuracy)},
          {"dense_accuracy", interval_json(claim->dense_accuracy)},
          {"difference", interval_json(claim->difference)},
          {"speed_over_dense", claim->speed ? interval_json(claim->speed->ratio) : nlohmann::json()}};
}

}  // namespace

nlohmann::json front_record(const study::FrontRow& row) {
  return {{"candidate", row.id},
          {"origin", row.origin},
          {"rationale", row.rationale},
          {"made_by", row.made_by},
          {"accuracy", interval_json(row.accuracy)},
          {"shrunk_difference", optional_json(row.shrunk)},
          {"oracle_accuracy", optional_json(row.ceiling)},
          {"speed_over_dense", interval_json(row.speed)},
          {"tokens_per_s", optional_json(row.tokens_per_s)},
          {"front_probability", row.front_probability},
          {"undecided", row.undecided},
          {"dense_accuracy", interval_json(row.dense_accuracy)},
          {"confirmed_accuracy", optional_json(row.confirmed)},
          {"claim", claim_json(row.claim)}};
}

std::vector<std::string> front_members() {
  return {"candidate",          "origin",          "undecided",        "accuracy",     "dense_accuracy",
          "shrunk_difference",  "oracle_accuracy", "speed_over_dense", "tokens_per_s", "front_probability",
          "confirmed_accuracy", "made_by"};
}

}  // namespace vortex::cli
