#pragma once

#include <array>
#include <map>
#include <string_view>

#include "study/options.h"

namespace vortex::study {

// What a search spends.
enum class Resource {
  kSeconds,      // wall clock in which the search runs
  kGpuSeconds,   // GPUs held by workers, times seconds
  kEvaluations,  // candidates that reach a worker, dense attention aside
  kTokens,       // of language models, prompt and reply
  kDollars,      // paid for them
};
inline constexpr std::array kResources = {Resource::kSeconds, Resource::kGpuSeconds, Resource::kEvaluations,
                                          Resource::kTokens, Resource::kDollars};
std::string_view resource_name(Resource resource);  // "seconds", "gpu_seconds", "evaluations", "tokens", "dollars"

using Limits = std::map<Resource, double>;  // a resource that is absent, or whose limit is 0, has none
// The limits that a search was started with.
Limits limits_of(const SearchOptions& options);

}  // namespace vortex::study
