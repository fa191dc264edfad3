#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/model/weights.h"
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

// YaRN's stretching (arXiv:2309.00071; config.json's rope_scaling of type "yarn"): pairs that turn often within the
// original context keep their frequency, slow ones are divided by `factor`, those between are blended by their index.
struct YarnScaling {
  double factor = 1.0;
  double beta_fast = 32.0;      // turns above which a pair is kept
  double beta_slow = 1.0;       // and below which it is divided
  int original_context = 4096;  // tokens of the context before stretching
  bool whole_pairs = true;      // the blend begins and ends at whole indices
  // Of the temperature; 0: not said.
  double mscale = 0.0;
  double mscale_all_dim = 0.0;
  double attention_factor = 0.0;
};

// Latent attention (MLA; DeepSeek-V2, arXiv:2405.04434): a token's keys and values of all heads are products of one
// latent, which is what is cached, beside one rotated key that the heads share.
struct LatentAttention {
  int q_rank = 0;           // of the queries' own latent; 0: they have none
  int kv_rank = 0;          // of the cached latent
  int nope_dim = 0;         // of a query or key head, the part without a position
  int rope_dim = 0;         // and the part with one
  int value_dim = 0;        // of a value head
  bool interleaved = true;  // elements 2i and 2i + 1 are rotated together, not i and i + rope_dim / 2
  double norm_eps = 1e-6;   // of the norms of the latents
};

// How an expert layer scores its experts, and by what it keeps groups of them: not at all, by their largest score, by
// the sum of their two largest.
enum class ExpertScore { kSoftmax, kSigmoid };
enum class GroupScore { kNone, kBest, kBestTwo };

// RMSNorm of queries and keys before they are rotated: of each head by itself, or of all heads of a token together.
enum class QkNorm { kNone, kEachHead, kAllHeads };

// Layers whose MLP is a choice of experts (DeepSeekMoE, arXiv:2401.06066).
struct Experts {
  std::vector<bool> layers;  // [layer]: has experts
  int count = 0;
  int per_token = 0;
  int inner = 0;         // of one expert
  int shared_inner = 0;  // of the expert that every token goes through; 0: there is none
  ExpertScore score = ExpertScore::kSoftmax;
  bool bias = false;  // a correction is added to the scores to choose, not to weigh
  GroupScore group_score = GroupScore::kNone;
  int groups = 1;
  int kept_groups = 1;
  bool normalised = false;  // weights are divided by their sum
  double scale = 1.0;       // and multiplied by this
};

// Hyper-parameters of a decoder, as a Hugging Face config.json names them.
struct ModelConfig {
  std::string architecture;  // e.g. "Qwen3ForCausalLM"
  int hidden_size = 0;
  int num_layers = 0;
  int num_q_heads = 0;
  // Of what is cached and attended: latent attention has one head, of kv_rank + rope_dim elements.
  int num_kv_heads = 0;
  int head_dim = 0;
  int intermediate_size = 0;  // of an MLP without experts
  int vocab_size = 0;
  int max_position_embeddings = 0;
  double rope_theta = 10000.0;
  int rotated = 0;  // elements at the front of a head that have a position; 0: all of them
  std::optional<RopeScaling> rope_scaling;
  std::optional<YarnScaling> yarn;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;                  // biases of the query, key and value projections
  std::optional<LatentAttention> latent;  // else attention is grouped-query
  std::optional<Experts> experts;
  std::vector<int> eos_token_ids;
  ScaleBlock scale_block;  // of a checkpoint in fp8; no rows: it is not

  // Has the MLP of this layer experts?
  bool has_experts(int layer) const { return experts && experts->layers[static_cast<size_t>(layer)]; }
  // Elements of a head that are rotated.
  int rotary_dim() const { return latent ? latent->rope_dim : rotated > 0 ? rotated : head_dim; }
  // Numbers that one layer caches of a token: K and V, or the latent, which is both.
  int64_t cached_values() const { return (latent ? 1 : 2) * int64_t{num_kv_heads} * head_dim; }
};

// Reads <folder>/config.json. Unknown architectures and unsupported variants are refused by name. Light: no weights.
Result<ModelConfig> read_model_config(const std::filesystem::path& folder);

// Rotary frequencies, rotary_dim / 2 of them, in radians a position: element i of a head and element i + rotary_dim / 2
// turn by position * frequency i (of interleaved latent attention, elements 2i and 2i + 1). Scaling is applied.
std::vector<double> rotary_frequencies(const ModelConfig& config);

// What cosines and sines are multiplied by: 1 but for YaRN.
double rotary_magnitude(const ModelConfig& config);

// What q.k is multiplied by before the softmax: one over the root of a head's size, and for latent attention under
// YaRN the temperature that mscale_all_dim names.
double softmax_scale(const ModelConfig& config);

// What the policy checker needs to know of a model.
vflow::ModelGeometry geometry_of(const ModelConfig& config, int max_context, int64_t kv_memory_bytes);

// Does the backend cover the model? If not, the error, which is the candidate's, says what it lacks.
Status check_covered(const ModelConfig& config, const vflow::BackendLimits& backend);

// Weights of a decoder, immutable and shared by everything that runs it (core/model/weights.h).
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
