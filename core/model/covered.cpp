#include <algorithm>
#include <string>

#include "core/model/model.h"

namespace vortex::model {
Status check_covered(const ModelConfig& config, const vflow::BackendLimits& backend) {
  const std::string taken = "the " + backend.name + " backend takes ";
  const std::vector<int>& dims = backend.head_dims;
  // A backend with a list of head sizes has kernels for these; latents have kernels of their own, for any size.
  if (!config.latent && !dims.empty() && std::find(dims.begin(), dims.end(), config.head_dim) == dims.end()) {
    std::string known;
    for (const int dim : dims) { known += (known.empty() ? "" : " or ") + std::to_string(dim); }
    return candidate_error(taken + "a head_dim of " + known + ", and this model has " + std::to_string(config.head_dim),
                           backend.remedy);
  }
  const int multiple = backend.hidden_multiple;
  const bool too_large = backend.max_hidden > 0 && config.hidden_size > backend.max_hidden;
  if (too_large || config.hidden_size % multiple != 0 || config.intermediate_size % multiple != 0) {
    return candidate_error(taken + "a hidden_size of at most " + std::to_string(backend.max_hidden) +
                               ", it and the intermediate_size multiples of " + std::to_string(multiple) +
                               ", and this model has " + std::to_string(config.hidden_size) + " and " +
                               std::to_string(config.intermediate_size),
                           backend.remedy);
  }
  if (backend.max_stop_tokens > 0 && config.eos_token_ids.size() > static_cast<size_t>(backend.max_stop_tokens)) {
    return candidate_error(taken + "at most " + std::to_string(backend.max_stop_tokens) +
                               " stop tokens, and this model has " + std::to_string(config.eos_token_ids.size()),
                           backend.remedy);
  }
  return ok_status();
}

}  // namespace vortex::model
