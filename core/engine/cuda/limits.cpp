#include "core/engine/cuda/limits.h"

#include <string>

#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/device_pool.h"
#include "core/engine/requests.h"
#include "kernels/cuda/step.h"

namespace vortex::engine {
namespace {

constexpr int kMaxHidden = 8192;  // of the norm kernel
constexpr int kTileTokens = 16;   // of the attention kernel

Status check_shape(const model::ModelConfig& c) {
  const int group = c.num_q_heads / c.num_kv_heads;
  const bool group_fits = group == 1 || group == 2 || group == 4 || group == 8;
  if ((c.head_dim != 64 && c.head_dim != 128) || !group_fits) {
    return candidate_error(
        "the CUDA engine needs a head_dim of 64 or 128 and 1, 2, 4 or 8 query heads a kv head, not " +
        std::to_string(c.head_dim) + " and " + std::to_string(group));
  }
  if (c.hidden_size % 8 != 0 || c.hidden_size > kMaxHidden || c.intermediate_size % 8 != 0) {
    return candidate_error("the CUDA engine needs hidden_size (at most " + std::to_string(kMaxHidden) +
                           ") and intermediate_size to be multiples of 8");
  }
  return ok_status();
}

Status check_options(const model::ModelConfig& model, const EngineOptions& options) {
  if (options.max_context < 1 || options.max_context > model.max_position_embeddings) {
    return candidate_error("max_context must be from 1 to the model's " +
                           std::to_string(model.max_position_embeddings) + " positions, not " +
                           std::to_string(options.max_context));
  }
  if (options.max_batch < 1 || options.max_batch > kCudaBatchSizes.back()) {
    return candidate_error("max_batch must be from 1 to " + std::to_string(kCudaBatchSizes.back()) + " on CUDA, not " +
                           std::to_string(options.max_batch));
  }
  if (model.eos_token_ids.size() > cuda::kMaxStopTokens) {
    return candidate_error("the CUDA engine takes at most " + std::to_string(cuda::kMaxStopTokens) + " stop tokens");
  }
  return ok_status();
}

Status check_policy_fits(const vflow::Policy& policy, const model::ModelConfig& model) {
  VORTEX_TRY(check_traced_for(policy, model));
  if (policy.config.block_size % kTileTokens != 0) {
    return candidate_error("the CUDA engine needs vortex_block_size to be a multiple of " +
                           std::to_string(kTileTokens) + ", not " + std::to_string(policy.config.block_size));
  }
  if (!kv_type_of(policy.config.kv_dtype)) {
    return candidate_error("kv_cache_dtype " + std::string(vflow::dtype_name(policy.config.kv_dtype)) +
                           " is not supported by the CUDA engine: use bfloat16 or an fp8 type");
  }
  return ok_status();
}

}  // namespace

Status cuda_supports(const model::ModelConfig& model, const EngineOptions& options, const vflow::Policy* policy) {
  VORTEX_TRY(check_shape(model));
  VORTEX_TRY(check_options(model, options));
  return policy != nullptr ? check_policy_fits(*policy, model) : ok_status();
}

}  // namespace vortex::engine
