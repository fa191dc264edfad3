#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/vflow/policy.h"

namespace vortex::model {

// Hyper-parameters of a decoder, as a Hugging Face config.json names them.
struct ModelConfig {
  std::string architecture;  // e.g. "Qwen3ForCausalLM"
  int hidden_size = 0;
  int num_layers = 0;
  int num_q_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int intermediate_size = 0;
  int vocab_size = 0;
  int max_position_embeddings = 0;
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool qk_norm = false;
  std::vector<int> eos_token_ids;
};

// Reads <folder>/config.json. Unknown architectures and unsupported variants are refused by name. Light: no weights.
Result<ModelConfig> read_model_config(const std::filesystem::path& folder);

// What the policy checker needs to know of a model.
vflow::ModelGeometry geometry_of(const ModelConfig& config, int max_context, int64_t kv_memory_bytes);

// Weights of a decoder, immutable and shared by everything that runs it.
struct Weights;
struct Model {
  ModelConfig config;
  std::shared_ptr<const Weights> weights;
  std::string hash;  // SHA-256 over config.json and the safetensors files: evidence
};

// Loads <folder>/{config.json,*.safetensors}. Missing tensors, wrong shapes and truncated files are clear refusals.
Result<Model> load_model(const std::filesystem::path& folder);

}  // namespace vortex::model
