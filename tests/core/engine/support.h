// A plain reference decoder, and small engines to compare with it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/files.h"
#include "core/engine/cpu_engine.h"
#include "core/model/model.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::testing {

// The forward pass of every architecture written straight from its definition, one token at a time, in double. Keys and
// values are rounded to bf16, as the engine's pool keeps them.
class ReferenceDecoder {
 public:
  explicit ReferenceDecoder(const TinyModel& shape) : m_(shape), tensors_(tensors_of(shape)) {
    keys_.resize(static_cast<size_t>(m_.layers));
    values_.resize(keys_.size());
  }

  // Feeds a token; gives the logits of the next one.
  std::vector<double> feed(int32_t token) {
    const TensorValues& table = tensors_.at("model.embed_tokens.weight");
    std::vector<double> x(static_cast<size_t>(m_.hidden));
    for (size_t i = 0; i < x.size(); ++i) { x[i] = at(table, static_cast<size_t>(token), i); }
    for (int layer = 0; layer < m_.layers; ++layer) {
      prefix_ = "model.layers." + std::to_string(layer) + ".";
      add(x, product(prefix_ + "self_attn.o_proj", attention(layer, norm(x, prefix_ + "input_layernorm"))));
      add(x, mlp(norm(x, prefix_ + "post_attention_layernorm")));
    }
    ++position_;
    return product(m_.tied ? "model.embed_tokens" : "lm_head", norm(x, "model.norm"));
  }

 private:
  using Vector = std::vector<double>;

  static double at(const TensorValues& tensor, size_t row, size_t col) {
    return static_cast<double>(tensor.values[row * static_cast<size_t>(tensor.shape.back()) + col]);
  }

  static void add(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) { x[i] += y[i]; }
  }

  Vector product(const std::string& name, const Vector& x) const {
    const TensorValues& w = tensors_.at(name + ".weight");
    Vector y(static_cast<size_t>(w.shape[0]), 0.0);
    for (size_t n = 0; n < y.size(); ++n) {
      for (size_t k = 0; k < x.size(); ++k) { y[n] += at(w, n, k) * x[k]; }
    }
    return y;
  }

  Vector biased_product(const std::string& name, const Vector& x) const {
    Vector y = product(name, x);
    if (!m_.qkv_bias()) { return y; }
    for (size_t i = 0; i < y.size(); ++i) { y[i] += at(tensors_.at(name + ".bias"), 0, i); }
    return y;
  }

  // Llama 3.1's rule by wavelength: kept below context / high factor, divided above context / low factor.
  double frequency(size_t i) const {
    const double plain = std::pow(10000.0, -2.0 * static_cast<double>(i) / m_.head_dim);
    if (!m_.llama3_rope) { return plain; }
    const double wavelength = 2 * M_PI / plain;
    if (wavelength < kLlama3Context / kLlama3HighFactor) { return plain; }
    if (wavelength > kLlama3Context / kLlama3LowFactor) { return plain / kLlama3Factor; }
    const double smooth = (kLlama3Context / wavelength - kLlama3LowFactor) / (kLlama3HighFactor - kLlama3LowFactor);
    return (1 - smooth) * plain / kLlama3Factor + smooth * plain;
  }

  Vector norm(Vector x, const std::string& name) const {
    const TensorValues& weight = tensors_.at(name + ".weight");
    double squares = 0;
    for (double value : x) { squares += value * value; }
    const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + 1e-6);
    for (size_t i = 0; i < x.size(); ++i) { x[i] *= factor * at(weight, 0, i); }
    return x;
  }

  Vector mlp(const Vector& x) const {
    Vector gate = product(prefix_ + "mlp.gate_proj", x);
    const Vector up = product(prefix_ + "mlp.up_proj", x);
    for (size_t i = 0; i < gate.size(); ++i) { gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i]; }
    return product(prefix_ + "mlp.down_proj", gate);
  }

  // One head of `projected`, normed and rotated to the current position.
  Vector head_of(const Vector& projected, int head, const std::string& norm_name) const {
    const auto dim = static_cast<size_t>(m_.head_dim);
    const auto first = projected.begin() + static_cast<int64_t>(static_cast<size_t>(head) * dim);
    Vector values(first, first + m_.head_dim);
    if (m_.qk_norm()) { values = norm(values, norm_name); }
    for (size_t i = 0; i < dim / 2; ++i) {
      const double angle = position_ * frequency(i);
      const double a = values[i];
      const double b = values[i + dim / 2];
      values[i] = a * std::cos(angle) - b * std::sin(angle);
      values[i + dim / 2] = a * std::sin(angle) + b * std::cos(angle);
    }
    return values;
  }

  static Vector rounded(Vector x) {
    for (double& value : x) { value = static_cast<double>(cpu::round_to_bf16(static_cast<float>(value))); }
    return x;
  }

  Vector attention(int layer, const Vector& x) {
    const Vector q = biased_product(prefix_ + "self_attn.q_proj", x);
    const Vector k = biased_product(prefix_ + "self_attn.k_proj", x);
    const Vector v = rounded(biased_product(prefix_ + "self_attn.v_proj", x));
    auto& keys = keys_[static_cast<size_t>(layer)];
    auto& values = values_[static_cast<size_t>(layer)];
    keys.emplace_back();
    for (int head = 0; head < m_.kv_heads; ++head) {
      const Vector key = rounded(head_of(k, head, prefix_ + "self_attn.k_norm"));
      keys.back().insert(keys.back().end(), key.begin(), key.end());
    }
    values.push_back(v);
    const auto dim = static_cast<size_t>(m_.head_dim);
    Vector out(static_cast<size_t>(m_.q_heads) * dim, 0.0);
    for (int head = 0; head < m_.q_heads; ++head) {
      const Vector query = head_of(q, head, prefix_ + "self_attn.q_norm");
      const size_t offset = static_cast<size_t>(head / (m_.q_heads / m_.kv_heads)) * dim;
      Vector weights;
      double total = 0;
      for (const Vector& key : keys) {
        double dot = 0;
        for (size_t d = 0; d < dim; ++d) { dot += query[d] * key[offset + d]; }
        weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(dim))));
        total += weights.back();
      }
      for (size_t t = 0; t < values.size(); ++t) {
        for (size_t d = 0; d < dim; ++d) {
          out[static_cast<size_t>(head) * dim + d] += weights[t] / total * values[t][offset + d];
        }
      }
    }
    return out;
  }

  TinyModel m_;
  TensorMap tensors_;
  std::string prefix_;
  int position_ = 0;
  std::vector<std::vector<Vector>> keys_;  // [layer][token][kv head * head_dim]
  std::vector<std::vector<Vector>> values_;
};

inline std::unique_ptr<engine::CpuEngine> make_engine(const TinyModel& shape, const engine::EngineOptions& options) {
  TempFolder folder;
  write_checkpoint(folder.path(), shape);
  auto model = model::load_model(folder.path());  // stays mapped when the folder goes
  EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
  auto engine = engine::CpuEngine::make(std::move(*model), options);
  EXPECT_TRUE(engine.ok()) << (engine.ok() ? "" : engine.error().message);
  return std::move(*engine);
}

inline std::vector<int32_t> random_tokens(int count, int vocab, uint64_t seed) {
  Rng rng(stream_key(seed));
  std::vector<int32_t> tokens;
  for (int i = 0; i < count; ++i) {
    tokens.push_back(rng.between(2, vocab - 1));  // 1 is the stop token
  }
  return tokens;
}

// Fills all of the pool with NaN bytes: whatever reads what was never written shows.
inline void poison(engine::KvPool& pool, const model::ModelConfig& config) {
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const compile::LayerCache& cache = pool.layer(layer);
    std::vector<compile::PagedTensor> tensors = cache.fields;
    tensors.push_back(cache.k);
    tensors.push_back(cache.v);
    for (const compile::PagedTensor& tensor : tensors) {
      const auto size = static_cast<size_t>(pool.pages()) * static_cast<size_t>(tensor.kv_heads) *
                        static_cast<size_t>(tensor.rows) * static_cast<size_t>(tensor.cols);
      std::memset(tensor.data, 0xff, size * static_cast<size_t>(vflow::dtype_bytes(tensor.dtype)));
    }
  }
}

// The policy examples/policies/NAME with these members of its configuration, checked for the model.
inline vflow::Policy example_policy(const std::string& name, const model::ModelConfig& model,
                                    const nlohmann::json& changes, int max_context = 512) {
  const std::string base = std::string(VORTEX_SOURCE_DIR) + "/examples/policies/" + name;
  nlohmann::json config = nlohmann::json::parse(read_file(base + ".json").value());
  config.merge_patch(changes);
  const vflow::PolicySource source{read_file(base + ".py").value(), config.dump()};
  vflow::CheckReport report = vflow::check_policy(source, model::geometry_of(model, max_context, 0));
  EXPECT_TRUE(report.policy.has_value()) << name << "\n" << vflow::render(report.diagnostics);
  return std::move(*report.policy);
}

}  // namespace vortex::testing
