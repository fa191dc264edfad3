#include "core/model/config_json.h"

#include <string>
#include <utility>

namespace vortex::model {

using nlohmann::json;

namespace {

constexpr int64_t kMaxSize = 1 << 24;

Result<int> read_whole(const json& object, const char* key, int least) {
  const json& value = object[key];
  if (!value.is_number_integer() || value < least || value > kMaxSize) {
    return candidate_error(std::string("config.json: ") + key + " must be a whole number from " +
                           std::to_string(least) + " to " + std::to_string(kMaxSize) + ", not " + value.dump());
  }
  return value.get<int>();
}

}  // namespace

bool has(const json& object, const char* key) { return object.contains(key) && !object[key].is_null(); }

json value_or(const json& object, const char* key, json fallback) {
  return has(object, key) ? object[key] : std::move(fallback);
}

Result<int> read_size(const json& object, const char* key) {
  if (!has(object, key)) { return candidate_error(std::string("config.json lacks ") + key); }
  return read_whole(object, key, 1);
}

Result<int> read_size_or(const json& object, const char* key, int fallback) {
  if (!has(object, key)) { return fallback; }
  return read_whole(object, key, 1);
}

Result<int> read_count(const json& object, const char* key, int fallback) {
  if (!has(object, key)) { return fallback; }
  return read_whole(object, key, 0);
}

Result<double> read_positive(const json& object, const char* key, double fallback) {
  if (!has(object, key)) { return fallback; }
  const json& value = object[key];
  if (!value.is_number() || !(value.get<double>() > 0)) {
    return candidate_error(std::string("config.json: ") + key + " must be a positive number, not " + value.dump());
  }
  return value.get<double>();
}

Result<bool> read_flag(const json& object, const char* key, bool fallback) {
  const json value = value_or(object, key, fallback);
  if (!value.is_boolean()) { return candidate_error(std::string("config.json: ") + key + " must be true or false"); }
  return value.get<bool>();
}

}  // namespace vortex::model
