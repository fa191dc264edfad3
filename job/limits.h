#pragma once

#include "base/json_reader.h"

// What a job may ask for. Beyond these it is a mistake, and said to be one before memory is asked for.
namespace vortex::job {

inline constexpr int kMaxProblems = 100'000;
inline constexpr int kMaxTokens = 1 << 20;
inline constexpr int kMaxThreads = 4096;
inline constexpr int kMaxRanks = 8;  // that a model is spread over

inline void check_range(JsonReader& reader, const char* key, double value, double lo, double hi) {
  if (value < lo || value > hi) { reader.refuse(key, "is out of range"); }
}

}  // namespace vortex::job
