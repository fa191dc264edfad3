#include "study/prediction.h"

#include <algorithm>

#include "base/json_reader.h"

namespace vortex::study {
namespace {

using nlohmann::json;

constexpr double kSameWithin = 0.02;  // of a `same` that names no tolerance

}  // namespace

json to_json(const Prediction& prediction) {
  return {{"metric", prediction.metric},
          {"direction", prediction.direction},
          {"by", prediction.by},
          {"against", prediction.against}};
}

Result<Prediction> prediction_from_json(const json& value) {
  Prediction prediction;
  JsonReader reader(value, "prediction");
  reader.required("metric", prediction.metric);
  reader.required("direction", prediction.direction);
  reader.optional("by", prediction.by);
  const json* other = reader.find("against", false);
  if (other != nullptr && !other->is_null() && *other != "dense") {
    if (other->is_number_integer()) {
      prediction.against = other->get<int64_t>();
    } else {
      reader.refuse("against", "must be the number of a candidate or \"dense\"");
    }
  }
  const auto one_of = [](const std::string& word, std::initializer_list<const char*> words) {
    return std::any_of(words.begin(), words.end(), [&](const char* known) { return word == known; });
  };
  if (!one_of(prediction.metric, {"accuracy", "speed", "mass_recall"})) {
    reader.refuse("metric", "must be accuracy, speed or mass_recall");
  }
  if (!one_of(prediction.direction, {"higher", "lower", "same"})) {
    reader.refuse("direction", "must be higher, lower or same");
  }
  if (!(prediction.by >= 0)) { reader.refuse("by", "must not be negative"); }
  VORTEX_TRY(reader.finish());
  if (prediction.direction == "same" && prediction.by == 0) { prediction.by = kSameWithin; }
  return prediction;
}

}  // namespace vortex::study
