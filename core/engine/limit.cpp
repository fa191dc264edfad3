#include "core/engine/limit.h"

#include "core/engine/requests.h"

namespace vortex::engine {
namespace {

constexpr int64_t kWeightBytes = 2;

int64_t weight_bytes(const model::ModelConfig& c) {
  const int64_t hidden = c.hidden_size;
  const int64_t q = int64_t{c.num_q_heads} * c.head_dim;
  const int64_t kv = int64_t{c.num_kv_heads} * c.head_dim;
  const int64_t layer = hidden * (2 * q + 2 * kv) + 3 * hidden * c.intermediate_size;
  return kWeightBytes * (layer * c.num_layers + hidden * c.vocab_size);
}

}  // namespace

StepBytes step_bytes(const model::ModelConfig& model, const vflow::Policy* policy, vflow::Dtype kv_dtype,
                     std::span<const int> lengths) {
  const vflow::Dtype stored = policy != nullptr ? policy->config.kv_dtype : kv_dtype;
  const int64_t token = 2LL * model.num_kv_heads * model.head_dim * vflow::dtype_bytes(stored);  // of one layer
  int dense_layers = model.num_layers;
  if (policy != nullptr) {
    dense_layers = 0;
    for (int layer = 0; layer < model.num_layers; ++layer) {
      dense_layers += vflow::layer_is_dense(policy->config, layer) ? 1 : 0;
    }
  }
  const int64_t sparse_layers = model.num_layers - dense_layers;
  const int64_t scored_block = sparse_layers > 0 ? scored_bytes(*policy) : 0;
  StepBytes bytes;
  bytes.weights = weight_bytes(model);
  for (const int length : lengths) {
    bytes.kv += dense_layers * length * token;
    if (sparse_layers == 0) { continue; }
    const int block = policy->config.block_size;
    const int blocks = (length + block - 1) / block;
    const int selected = vflow::selected_blocks(policy->config, blocks);
    bytes.kv += sparse_layers * (int64_t{selected} * block - (int64_t{blocks} * block - length)) * token;
    if (selected == blocks) { continue; }
    const int64_t scored = blocks - policy->config.reserved_eos;
    bytes.summaries += sparse_layers * scored * model.num_kv_heads * scored_block;
  }
  return bytes;
}

}  // namespace vortex::engine
