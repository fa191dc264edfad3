// Members of a config.json, read with the checks that all of them want. A null stands for an absent member, as
// published files have it for everything optional. Errors: candidate; they name the member.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace vortex::model {

bool has(const nlohmann::json& object, const char* key);

nlohmann::json value_or(const nlohmann::json& object, const char* key, nlohmann::json fallback);

// A whole number from 1 to 2^24: products of two of them stay within 64 bits. Absent: refused, or `fallback`.
Result<int> read_size(const nlohmann::json& object, const char* key);
Result<int> read_size_or(const nlohmann::json& object, const char* key, int fallback);

// A whole number from 0 to 2^24; `fallback` where it is absent.
Result<int> read_count(const nlohmann::json& object, const char* key, int fallback);

// A number above zero; `fallback` where it is absent.
Result<double> read_positive(const nlohmann::json& object, const char* key, double fallback);

// True or false; `fallback` where it is absent.
Result<bool> read_flag(const nlohmann::json& object, const char* key, bool fallback);

}  // namespace vortex::model
