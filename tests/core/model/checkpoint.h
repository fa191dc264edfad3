// Writes small random checkpoints for tests.
#pragma once

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/bf16.h"

namespace vortex::testing {

// A folder that is empty at first and gone at the end.
class TempFolder {
 public:
  TempFolder() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            ("vortex-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct TensorValues {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
using TensorMap = std::map<std::string, TensorValues>;

struct TinyModel {
  std::string architecture = "Qwen3ForCausalLM";
  int hidden = 48;
  int layers = 2;
  int q_heads = 4;
  int kv_heads = 2;
  int head_dim = 16;
  int inner = 72;
  int vocab = 50;
  bool tied = true;
  bool llama3_rope = false;
  uint64_t seed = 1;

  bool qk_norm() const { return architecture == "Qwen3ForCausalLM"; }
  bool qkv_bias() const { return architecture == "Qwen2ForCausalLM"; }
};

// Short enough that small prompts meet kept, blended and slowed frequencies.
inline constexpr double kLlama3Factor = 8;
inline constexpr double kLlama3LowFactor = 1;
inline constexpr double kLlama3HighFactor = 4;
inline constexpr int kLlama3Context = 64;

inline nlohmann::json config_of(const TinyModel& m) {
  nlohmann::json config = {{"architectures", {m.architecture}},
                           {"hidden_size", m.hidden},
                           {"num_hidden_layers", m.layers},
                           {"num_attention_heads", m.q_heads},
                           {"num_key_value_heads", m.kv_heads},
                           {"head_dim", m.head_dim},
                           {"intermediate_size", m.inner},
                           {"vocab_size", m.vocab},
                           {"max_position_embeddings", 8192},
                           {"rope_theta", 10000.0},
                           {"rms_norm_eps", 1e-6},
                           {"tie_word_embeddings", m.tied},
                           {"hidden_act", "silu"},
                           {"eos_token_id", 1}};
  if (m.llama3_rope) {
    config["rope_scaling"] = {{"rope_type", "llama3"},
                              {"factor", kLlama3Factor},
                              {"low_freq_factor", kLlama3LowFactor},
                              {"high_freq_factor", kLlama3HighFactor},
                              {"original_max_position_embeddings", kLlama3Context}};
  }
  return config;
}

// Uniform values of variance `scale`^2 around `centre`, rounded to bf16.
inline TensorValues random_tensor(std::vector<int64_t> shape, Rng& rng, double scale, double centre = 0) {
  int64_t size = 1;
  for (int64_t extent : shape) { size *= extent; }
  TensorValues tensor{std::move(shape), {}};
  for (int64_t i = 0; i < size; ++i) {
    const double value = centre + scale * 3.46 * (rng.uniform() - 0.5);
    tensor.values.push_back(cpu::round_to_bf16(static_cast<float>(value)));
  }
  return tensor;
}

inline TensorMap tensors_of(const TinyModel& m) {
  Rng rng(m.seed);
  TensorMap tensors;
  const auto matrix = [&](const std::string& name, int rows, int cols) {
    tensors[name + ".weight"] = random_tensor({rows, cols}, rng, 1.0 / std::sqrt(static_cast<double>(cols)));
  };
  const auto norm = [&](const std::string& name, int size) {
    tensors[name + ".weight"] = random_tensor({size}, rng, 0.2, 1.0);
  };
  const auto bias = [&](const std::string& name, int size) {
    tensors[name + ".bias"] = random_tensor({size}, rng, 0.5);
  };
  tensors["model.embed_tokens.weight"] = random_tensor({m.vocab, m.hidden}, rng, 0.5);
  if (!m.tied) { matrix("lm_head", m.vocab, m.hidden); }
  norm("model.norm", m.hidden);
  for (int layer = 0; layer < m.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    norm(prefix + "input_layernorm", m.hidden);
    norm(prefix + "post_attention_layernorm", m.hidden);
    matrix(prefix + "self_attn.q_proj", m.q_heads * m.head_dim, m.hidden);
    matrix(prefix + "self_attn.k_proj", m.kv_heads * m.head_dim, m.hidden);
    matrix(prefix + "self_attn.v_proj", m.kv_heads * m.head_dim, m.hidden);
    matrix(prefix + "self_attn.o_proj", m.hidden, m.q_heads * m.head_dim);
    if (m.qk_norm()) {
      norm(prefix + "self_attn.q_norm", m.head_dim);
      norm(prefix + "self_attn.k_norm", m.head_dim);
    }
    if (m.qkv_bias()) {
      bias(prefix + "self_attn.q_proj", m.q_heads * m.head_dim);
      bias(prefix + "self_attn.k_proj", m.kv_heads * m.head_dim);
      bias(prefix + "self_attn.v_proj", m.kv_heads * m.head_dim);
    }
    matrix(prefix + "mlp.gate_proj", m.inner, m.hidden);
    matrix(prefix + "mlp.up_proj", m.inner, m.hidden);
    matrix(prefix + "mlp.down_proj", m.hidden, m.inner);
  }
  return tensors;
}

// The bytes of a file with this header and data.
inline std::string safetensors_file(const std::string& header, std::string_view data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) { bytes += static_cast<char>((header.size() >> (8 * i)) & 0xff); }
  return bytes + header + std::string(data);
}

// Truncates a float to its half, exact for the values that tests use.
inline uint16_t exact_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffff) == 0) { return static_cast<uint16_t>(bits >> 16); }
  const uint32_t exponent = ((bits >> 23) & 0xff) - 112;
  return static_cast<uint16_t>(((bits >> 16) & 0x8000) | (exponent << 10) | ((bits >> 13) & 0x3ff));
}

// `dtype` is "BF16", "F16" or "F32".
inline std::string safetensors_bytes(const TensorMap& tensors, const std::string& dtype = "BF16",
                                     const nlohmann::json& metadata = {{"format", "pt"}}) {
  nlohmann::json header = {{"__metadata__", metadata}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    for (float value : tensor.values) {
      const uint16_t narrow = dtype == "F16" ? exact_half(value) : cpu::float_to_bf16(value);
      if (dtype == "F32") {
        data.append(reinterpret_cast<const char*>(&value), sizeof(value));
      } else {
        data.append(reinterpret_cast<const char*>(&narrow), sizeof(narrow));
      }
    }
    header[name] = {{"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  return safetensors_file(header.dump(), data);
}

inline void write_checkpoint(const std::filesystem::path& folder, const TinyModel& model) {
  write_text(folder / "config.json", config_of(model).dump());
  write_text(folder / "model.safetensors", safetensors_bytes(tensors_of(model)));
}

}  // namespace vortex::testing
