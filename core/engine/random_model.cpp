#include "core/engine/random_model.h"

#include <cmath>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "core/model/weights.h"
#include "kernels/cpu/bf16.h"

namespace vortex::engine {
namespace {

// Weights that own their values.
struct RandomWeights : model::Weights {
  std::vector<std::vector<cpu::Bf16>> storage;

  model::Tensor tensor(std::vector<int64_t> shape, Rng& rng, double centre, double deviation) {
    size_t size = 1;
    for (const int64_t extent : shape) { size *= static_cast<size_t>(extent); }
    std::vector<cpu::Bf16> values(size);
    constexpr double kWidth = 3.4641016;  // of a uniform distribution of deviation 1
    for (cpu::Bf16& value : values) {
      value = cpu::float_to_bf16(static_cast<float>(centre + deviation * kWidth * (rng.uniform() - 0.5)));
    }
    storage.push_back(std::move(values));
    return {reinterpret_cast<const char*>(storage.back().data()), vflow::Dtype::kBf16, std::move(shape)};
  }
};

}  // namespace

model::Model random_model(const model::ModelConfig& config, uint64_t seed) {
  auto weights = std::make_shared<RandomWeights>();
  Rng rng(stream_key(seed));
  const auto matrix = [&](int64_t rows, int64_t cols) {
    return weights->tensor({rows, cols}, rng, 0.0, 1.0 / std::sqrt(static_cast<double>(cols)));
  };
  const auto norm = [&](int64_t size) { return weights->tensor({size}, rng, 1.0, 0.0); };
  const int64_t hidden = config.hidden_size;
  const int64_t q = int64_t{config.num_q_heads} * config.head_dim;
  const int64_t kv = int64_t{config.num_kv_heads} * config.head_dim;
  weights->embedding = matrix(config.vocab_size, hidden);
  weights->head = config.tie_word_embeddings ? weights->embedding : matrix(config.vocab_size, hidden);
  weights->final_norm = norm(hidden);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    model::LayerWeights w;
    w.attention_norm = norm(hidden);
    w.q = matrix(q, hidden);
    w.k = matrix(kv, hidden);
    w.v = matrix(kv, hidden);
    if (config.qkv_bias) {
      w.q_bias = weights->tensor({q}, rng, 0.0, 0.1);
      w.k_bias = weights->tensor({kv}, rng, 0.0, 0.1);
      w.v_bias = weights->tensor({kv}, rng, 0.0, 0.1);
    }
    if (config.qk_norm) {
      w.q_norm = norm(config.head_dim);
      w.k_norm = norm(config.head_dim);
    }
    w.o = matrix(hidden, q);
    w.mlp_norm = norm(hidden);
    w.gate = matrix(config.intermediate_size, hidden);
    w.up = matrix(config.intermediate_size, hidden);
    w.down = matrix(hidden, config.intermediate_size);
    weights->layers.push_back(std::move(w));
  }
  model::Model model;
  model.config = config;
  model.weights = weights;
  model.hash = "random";
  return model;
}

}  // namespace vortex::engine
