#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace vortex {

// Reads the members of one JSON object strictly. Missing required members, wrong types (1.0 is no integer, 1 is no
// boolean), numbers out of range and unknown keys are errors that name the place, e.g. `job.task.problems`; the first
// one found is reported by finish(), and targets of later reads are left alone. A null never stands for a default.
class JsonReader {
 public:
  // `json` must outlive the reader. `path` names the object in messages.
  JsonReader(const nlohmann::json& json, std::string path);

  // Reads a member that must be there. T is bool, int, int64_t, uint64_t, double (finite) or std::string.
  template <typename T>
  void required(const char* key, T& target) {
    if (const nlohmann::json* member = find(key, true)) { read(key, *member, target); }
  }
  // Reads a member into `target` if it is there.
  template <typename T>
  void optional(const char* key, T& target) {
    if (const nlohmann::json* member = find(key, false)) { read(key, *member, target); }
  }
  // The member itself, to be read by the caller, or null if it is absent (an error when `required`).
  const nlohmann::json* find(const char* key, bool required);

  // Records an error about a member, e.g. a value that is no known name.
  void refuse(const std::string& key, const std::string& why);
  // Takes over the first error of a nested reader or parser.
  void take(const Status& status);

  // The first error, or one about a key that nobody asked for.
  Status finish();

  const std::string& path() const { return path_; }

 private:
  void read(const char* key, const nlohmann::json& member, bool& target);
  void read(const char* key, const nlohmann::json& member, double& target);
  void read(const char* key, const nlohmann::json& member, std::string& target);

  template <typename T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  void read(const char* key, const nlohmann::json& member, T& target) {
    if (!member.is_number_integer()) { return refuse(key, "must be an integer"); }
    if (member.is_number_unsigned() || member.get<int64_t>() >= 0) {
      const auto value = member.get<uint64_t>();
      if (value <= static_cast<uint64_t>(std::numeric_limits<T>::max())) {
        return void(target = static_cast<T>(value));
      }
    } else if constexpr (std::is_signed_v<T>) {
      const auto value = member.get<int64_t>();
      if (value >= std::numeric_limits<T>::min()) { return void(target = static_cast<T>(value)); }
    }
    refuse(key, "is out of range");
  }

  const nlohmann::json& json_;
  std::string path_;
  std::vector<std::string> asked_;
  Status status_ = ok_status();
};

}  // namespace vortex
