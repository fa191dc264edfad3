#include "study/resources.h"

namespace vortex::study {

std::string_view resource_name(Resource resource) {
  switch (resource) {
    case Resource::kSeconds:
      return "seconds";
    case Resource::kGpuSeconds:
      return "gpu_seconds";
    case Resource::kEvaluations:
      return "evaluations";
    case Resource::kTokens:
      return "tokens";
    case Resource::kDollars:
      return "dollars";
  }
  return "";
}

Limits limits_of(const SearchOptions& options) {
  return {{Resource::kSeconds, options.seconds},
          {Resource::kGpuSeconds, options.gpu_seconds},
          {Resource::kEvaluations, options.max_evals},
          {Resource::kTokens, options.max_tokens},
          {Resource::kDollars, options.max_dollars}};
}

}  // namespace vortex::study
