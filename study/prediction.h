#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace vortex::study {

// What a hypothesis says will be seen once its candidate is evaluated: the difference of a metric between the candidate
// and another one (dense attention where none is named).
struct Prediction {
  std::string metric;     // accuracy (share of problems), speed (over dense attention's), mass_recall
  std::string direction;  // higher, lower, same
  double by = 0;          // higher, lower: by more than this; same: within this, above 0
  int64_t against = 0;    // candidate; 0: dense attention
};

nlohmann::json to_json(const Prediction& prediction);
// Strict about names and types, the candidate's fault.
Result<Prediction> prediction_from_json(const nlohmann::json& json);

}  // namespace vortex::study
