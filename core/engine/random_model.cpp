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

// Draws the tensors of a model in their one order.
class Maker {
 public:
  Maker(const model::ModelConfig& config, uint64_t seed) : c_(config), rng_(stream_key(seed)) {}

  std::shared_ptr<RandomWeights> make() {
    weights_->embedding = matrix(c_.vocab_size, hidden());
    weights_->head = c_.tie_word_embeddings ? weights_->embedding : matrix(c_.vocab_size, hidden());
    weights_->final_norm = norm(hidden());
    for (int layer = 0; layer < c_.num_layers; ++layer) {
      model::LayerWeights w;
      w.attention_norm = norm(hidden());
      c_.latent ? latent(w) : grouped(w);
      w.mlp_norm = norm(hidden());
      if (c_.has_experts(layer)) {
        experts(w);
      } else {
        w.mlp = mlp(c_.intermediate_size);
      }
      weights_->layers.push_back(std::move(w));
    }
    return weights_;
  }

 private:
  int64_t hidden() const { return c_.hidden_size; }
  model::Tensor matrix(int64_t rows, int64_t cols) {
    return weights_->tensor({rows, cols}, rng_, 0.0, 1.0 / std::sqrt(static_cast<double>(cols)));
  }
  model::Tensor norm(int64_t size) { return weights_->tensor({size}, rng_, 1.0, 0.0); }
  model::Tensor bias(int64_t size) { return weights_->tensor({size}, rng_, 0.0, 0.1); }
  model::MlpWeights mlp(int64_t inner) {
    return {matrix(inner, hidden()), matrix(inner, hidden()), matrix(hidden(), inner)};
  }

  void grouped(model::LayerWeights& w) {
    const int64_t q = int64_t{c_.num_q_heads} * c_.head_dim;
    const int64_t kv = int64_t{c_.num_kv_heads} * c_.head_dim;
    w.q = matrix(q, hidden());
    w.k = matrix(kv, hidden());
    w.v = matrix(kv, hidden());
    if (c_.qkv_bias) {
      w.q_bias = bias(q);
      w.k_bias = bias(kv);
      w.v_bias = bias(kv);
    }
    if (c_.qk_norm != model::QkNorm::kNone) {
      const bool each = c_.qk_norm == model::QkNorm::kEachHead;
      w.q_norm = norm(each ? c_.head_dim : q);
      w.k_norm = norm(each ? c_.head_dim : kv);
    }
    w.o = matrix(hidden(), q);
  }

  void latent(model::LayerWeights& w) {
    const model::LatentAttention& l = *c_.latent;
    const int64_t heads = c_.num_q_heads;
    if (l.q_rank > 0) {
      w.q_latent = matrix(l.q_rank, hidden());
      w.q_norm = norm(l.q_rank);
    }
    w.q = matrix(heads * (l.nope_dim + l.rope_dim), l.q_rank > 0 ? l.q_rank : hidden());
    w.kv_latent = matrix(l.kv_rank + l.rope_dim, hidden());
    w.k_norm = norm(l.kv_rank);
    w.kv = matrix(heads * (l.nope_dim + l.value_dim), l.kv_rank);
    w.o = matrix(hidden(), heads * l.value_dim);
  }

  void experts(model::LayerWeights& w) {
    const model::Experts& e = *c_.experts;
    w.router = matrix(e.count, hidden());
    if (e.bias) { w.router_bias = bias(e.count); }
    for (int expert = 0; expert < e.count; ++expert) { w.experts.push_back(mlp(e.inner)); }
    if (e.shared_inner > 0) { w.mlp = mlp(e.shared_inner); }
  }

  const model::ModelConfig& c_;
  Rng rng_;
  std::shared_ptr<RandomWeights> weights_ = std::make_shared<RandomWeights>();
};

}  // namespace

model::Model random_model(const model::ModelConfig& config, uint64_t seed) {
  model::Model model;
  model.config = config;
  model.weights = Maker(config, seed).make();
  model.hash = "random";
  return model;
}

}  // namespace vortex::engine
