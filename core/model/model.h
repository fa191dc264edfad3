#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/vflow/policy.h"

namespace vortex::model {

// The "llama3" stretching of rotary frequencies (Llama 3.1; config.json's rope_scaling): slow ones are divided by
// `factor`, fast ones are kept, those between are blended.
struct RopeScaling {
  double factor = 1.0;
  double low_freq_factor = 1.0;   // wavelengths above original_context / low_freq_factor are slow
  double high_freq_factor = 4.0;  // wavelengths below original_context / high_freq_factor are fast
  int original_context = 8192;    // tokens of the context before stretching
};

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
  std::optional<RopeScaling> rope_scaling;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool qk_norm = false;   // RMSNorm of each query and key head before rotary embedding
  bool qkv_bias = false;  // biases of the query, key and value projections
  std::vector<int> eos_token_ids;
};

// Reads <folder>/config.json. Unknown architectures and unsupported variants are refused by name. Light: no weights.
Result<ModelConfig> read_model_config(const std::filesystem::path& folder);

// Rotary frequencies, head_dim / 2 of them, in radians a position: element i of a head and element i + head_dim / 2
// turn by position * frequency i. Scaling is applied.
std::vector<double> rotary_frequencies(const ModelConfig& config);

// What the policy checker needs to know of a model.
vflow::ModelGeometry geometry_of(const ModelConfig& config, int max_context, int64_t kv_memory_bytes);

// Does the backend cover the model? If not, the error, which is the candidate's, says what it lacks.
Status check_covered(const ModelConfig& config, const vflow::BackendLimits& backend);

// Weights of a decoder, immutable and shared by everything that runs it.
struct Weights;
struct Model {
  ModelConfig config;
  std::shared_ptr<const Weights> weights;
  std::string hash;  // SHA-256 over config.json and the safetensors files: evidence
  // What an engine that does not multiply in float32 calls its way of doing it; prompts' K and V depend on it.
  std::string arithmetic;

  // Names what is computed with the model: the hash, and the arithmetic where there is one to tell.
  std::string computed_by() const { return arithmetic.empty() ? hash : hash + " " + arithmetic; }
};

// Loads <folder>/{config.json,*.safetensors}. Missing tensors, wrong shapes and truncated files are clear refusals.
Result<Model> load_model(const std::filesystem::path& folder);

}  // namespace vortex::model
