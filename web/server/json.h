#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "evals/statistics.h"

namespace vortex::web {

// Rounded to what a picture or a table shows, so that long lists stay short.
inline double rounded(double value, double scale = 1e6) { return std::round(value * scale) / scale; }

inline nlohmann::json to_json(const evals::Interval& interval) {
  return {{"value", rounded(interval.value)}, {"lo", rounded(interval.lo)}, {"hi", rounded(interval.hi)}};
}

inline nlohmann::json to_json(const std::optional<evals::Interval>& interval) {
  return interval ? to_json(*interval) : nlohmann::json();
}

inline nlohmann::json to_json(const std::optional<double>& value) {
  return value ? nlohmann::json(rounded(*value)) : nlohmann::json();
}

// Rows hold what programs and models wrote: any bytes must become JSON.
inline std::string dumped(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

inline nlohmann::json parsed(const std::string& text) {
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  return value.is_discarded() ? nlohmann::json() : value;
}

}  // namespace vortex::web
