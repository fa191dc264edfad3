#include "cli/show/front_table.h"

namespace vortex::cli {
namespace {

std::string optional_text(const std::optional<evals::Interval>& interval, int digits) {
  return interval ? interval_text(*interval, digits) : "-";
}

nlohmann::json optional_json(const std::optional<evals::Interval>& interval) {
  return interval ? interval_json(*interval) : nlohmann::json();
}

}  // namespace

Table front_table(const std::vector<study::FrontRow>& rows) {
  Table table({"id", "origin", "accuracy", "speed over dense", "tok/s", "P(on front)", "confirmed accuracy", "what"});
  for (const study::FrontRow& row : rows) {
    table.add({std::to_string(row.id), row.origin, interval_text(row.accuracy, 3), interval_text(row.speed, 2),
               row.tokens_per_s ? fixed(row.tokens_per_s->value, 1) : "-", fixed(row.front_probability, 2),
               optional_text(row.confirmed, 3), row.made_by});
  }
  return table;
}

nlohmann::json to_json(const study::FrontRow& row) {
  return {{"candidate", row.id},
          {"origin", row.origin},
          {"rationale", row.rationale},
          {"made_by", row.made_by},
          {"accuracy", interval_json(row.accuracy)},
          {"speed_over_dense", interval_json(row.speed)},
          {"tokens_per_s", optional_json(row.tokens_per_s)},
          {"front_probability", row.front_probability},
          {"confirmed_accuracy", optional_json(row.confirmed)}};
}

}  // namespace vortex::cli
