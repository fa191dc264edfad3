#include "base/json_reader.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace vortex {

JsonReader::JsonReader(const nlohmann::json& json, std::string path) : json_(json), path_(std::move(path)) {
  if (!json_.is_object()) { status_ = candidate_error(path_ + " must be an object"); }
}

const nlohmann::json* JsonReader::find(const char* key, bool required) {
  asked_.emplace_back(key);
  if (!status_.ok()) { return nullptr; }
  const auto found = json_.find(key);
  if (found != json_.end()) { return &*found; }
  if (required) { refuse(key, "is missing"); }
  return nullptr;
}

void JsonReader::refuse(const std::string& key, const std::string& why) {
  if (status_.ok()) { status_ = candidate_error(path_ + "." + key + " " + why); }
}

void JsonReader::take(const Status& status) {
  if (status_.ok() && !status.ok()) { status_ = status; }
}

Status JsonReader::finish() {
  if (!status_.ok()) { return status_; }
  for (const auto& [key, value] : json_.items()) {
    if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) { continue; }
    const auto near = nearest_word(key, asked_);
    return candidate_error(path_ + " has the unknown key \"" + key + "\"",
                           near ? "did you mean \"" + *near + "\"?" : "known keys: " + join(asked_, ", "));
  }
  return status_;
}

void JsonReader::read(const char* key, const nlohmann::json& member, bool& target) {
  if (!member.is_boolean()) { return refuse(key, "must be true or false"); }
  target = member.get<bool>();
}

void JsonReader::read(const char* key, const nlohmann::json& member, double& target) {
  if (!member.is_number()) { return refuse(key, "must be a number"); }
  const auto value = member.get<double>();
  if (!std::isfinite(value)) { return refuse(key, "is out of range"); }
  target = value;
}

void JsonReader::read(const char* key, const nlohmann::json& member, std::string& target) {
  if (!member.is_string()) { return refuse(key, "must be a text"); }
  target = member.get<std::string>();
}

}  // namespace vortex
