#include "core/engine/cuda/limits.h"

#include <algorithm>
#include <string>

#include "core/compile/limits.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/device_pool.h"
#include "core/engine/cuda/experts.h"
#include "core/engine/requests.h"
#include "kernels/cuda/step.h"

namespace vortex::engine {
namespace {

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
  return ok_status();
}

// Sizes of latents that the kernels keep in a thread block's registers and shared memory.
constexpr int kMaxCachedLatent = 640;
constexpr int kMaxQueryLatent = 2048;

Status check_latent(const model::ModelConfig& model) {
  if (!model.latent) { return ok_status(); }
  if (model.head_dim > kMaxCachedLatent || model.latent->q_rank > kMaxQueryLatent) {
    return candidate_error("the CUDA engine takes latents of at most " + std::to_string(kMaxCachedLatent) +
                               " elements in the cache and " + std::to_string(kMaxQueryLatent) +
                               " of queries, and this model has " + std::to_string(model.head_dim) + " and " +
                               std::to_string(model.latent->q_rank),
                           compile::cuda_limits().remedy);
  }
  return ok_status();
}

// What check_policy() says beforehand where it knows the backend.
Status check_policy_fits(const vflow::Policy& policy, const model::ModelConfig& model) {
  VORTEX_TRY(check_traced_for(policy, model));
  const int multiple = compile::cuda_limits().block_multiple;
  if (policy.config.block_size % multiple != 0) {
    return candidate_error("the CUDA engine needs vortex_block_size to be a multiple of " + std::to_string(multiple) +
                           ", not " + std::to_string(policy.config.block_size));
  }
  if (!kv_type_of(policy.config.kv_dtype)) {
    return candidate_error("kv_cache_dtype " + std::string(vflow::dtype_name(policy.config.kv_dtype)) +
                           " is not supported by the CUDA engine: use bfloat16, float32 or an fp8 type");
  }
  return check_kv_type(model, policy.config.kv_dtype);
}

}  // namespace

Status check_kv_type(const model::ModelConfig& model, vflow::Dtype type) {
  if (!model.latent || type == vflow::Dtype::kBf16) { return ok_status(); }
  return candidate_error("the CUDA engine keeps latents as bfloat16, not " + std::string(vflow::dtype_name(type)));
}

int prompt_chunk_of(const model::ModelConfig& model, int max_context, int wanted) {
  const int most = model.latent || model.experts ? kPromptChunk : kLongPromptChunk;
  return std::min({wanted > 0 ? wanted : most, most, max_context});
}

Status cuda_supports(const model::ModelConfig& model, const EngineOptions& options, const vflow::Policy* policy) {
  const vflow::BackendLimits limits = compile::cuda_limits();
  if (limits.max_stop_tokens > cuda::kMaxStopTokens) {
    return internal_error("more stop tokens than a step can look for");
  }
  VORTEX_TRY(model::check_covered(model, limits));
  VORTEX_TRY(check_latent(model));
  VORTEX_TRY(check_options(model, options));
  VORTEX_TRY(check_experts(model, std::max(options.max_batch, kPromptChunk)));
  return policy != nullptr ? check_policy_fits(*policy, model) : ok_status();
}

}  // namespace vortex::engine
