#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "core/model/architecture.h"
#include "core/model/chat.h"
#include "core/model/config_json.h"
#include "core/model/fp8_scales.h"
#include "core/model/model.h"
#include "core/model/rope_config.h"

namespace vortex::model {
namespace {

using nlohmann::json;

Status read_sizes(const json& object, ModelConfig& config) {
  VORTEX_ASSIGN(config.hidden_size, read_size(object, "hidden_size"));
  VORTEX_ASSIGN(config.num_layers, read_size(object, "num_hidden_layers"));
  VORTEX_ASSIGN(config.num_q_heads, read_size(object, "num_attention_heads"));
  config.num_kv_heads = config.num_q_heads;
  if (has(object, "num_key_value_heads")) {
    VORTEX_ASSIGN(config.num_kv_heads, read_size(object, "num_key_value_heads"));
  }
  config.head_dim = config.hidden_size / config.num_q_heads;
  if (has(object, "head_dim")) { VORTEX_ASSIGN(config.head_dim, read_size(object, "head_dim")); }
  VORTEX_ASSIGN(config.intermediate_size, read_size(object, "intermediate_size"));
  VORTEX_ASSIGN(config.vocab_size, read_size(object, "vocab_size"));
  VORTEX_ASSIGN(config.max_position_embeddings, read_size(object, "max_position_embeddings"));
  return ok_status();
}

// Once the architecture has said what its heads are.
Status check_heads(const ModelConfig& config) {
  if (config.num_q_heads % config.num_kv_heads != 0) {
    return candidate_error("config.json: num_attention_heads must be a multiple of num_key_value_heads");
  }
  if (config.head_dim < 1 || config.head_dim % 2 != 0) {
    return candidate_error("config.json: head_dim must be even, not " + std::to_string(config.head_dim));
  }
  return ok_status();
}

// Every layer attends everything before it. Hybrid models list the others by kind.
Status check_layer_types(const json& object) {
  const json kinds = value_or(object, "layer_types", json::array());
  const json list = kinds.is_array() ? kinds : json::array({kinds});
  for (const json& kind : list) {
    if (kind == "full_attention") { continue; }
    const auto same = std::count(list.begin(), list.end(), kind);
    return candidate_error("config.json: layer type " + kind.dump() + " is not supported, which " +
                               std::to_string(same) + " of " + std::to_string(list.size()) + " layers have",
                           "every layer must be \"full_attention\"");
  }
  return ok_status();
}

Status read_flags(const json& object, ModelConfig& config) {
  VORTEX_ASSIGN(config.tie_word_embeddings, read_flag(object, "tie_word_embeddings", false));
  const json activation = value_or(object, "hidden_act", "silu");
  if (activation != "silu") {
    return candidate_error("config.json: hidden_act " + activation.dump() + " is not supported");
  }
  if (has(object, "quantization_config")) {
    VORTEX_ASSIGN(config.scale_block, read_scale_block(object["quantization_config"]));
  }
  return check_layer_types(object);
}

// One id, a list of ids, or none.
Result<std::vector<int>> read_stop_tokens(const json& object, const std::string& file, int vocab_size) {
  const json eos = object.value("eos_token_id", json());
  std::vector<int> ids;
  for (const json& id : eos.is_array() ? eos : json::array({eos})) {
    if (id.is_null()) { continue; }
    if (!id.is_number_integer() || id < 0 || id >= vocab_size) {
      return candidate_error(file + ": eos_token_id " + id.dump() + " is not in the vocabulary of " +
                             std::to_string(vocab_size) + " tokens (vocab_size)");
    }
    ids.push_back(id.get<int>());
  }
  return ids;
}

// A turn ends with what any of generation_config.json, config.json and the chat template names: each of them is
// incomplete for some published model.
Status read_all_stop_tokens(const json& object, const std::filesystem::path& folder, ModelConfig& config) {
  const std::filesystem::path path = folder / "generation_config.json";
  std::error_code ec;
  if (std::filesystem::exists(path, ec)) {
    VORTEX_ASSIGN(const std::string text, read_file(path));
    const json generation = parse_json(text);
    if (!generation.is_object()) { return candidate_error(path.string() + " is not a JSON object"); }
    VORTEX_ASSIGN(config.eos_token_ids, read_stop_tokens(generation, "generation_config.json", config.vocab_size));
  }
  VORTEX_ASSIGN(std::vector<int> ids, read_stop_tokens(object, "config.json", config.vocab_size));
  const std::optional<int> end_of_turn = read_end_of_turn(folder);
  if (end_of_turn && *end_of_turn < config.vocab_size) { ids.push_back(*end_of_turn); }
  for (const int id : ids) {
    const std::vector<int>& known = config.eos_token_ids;
    if (std::find(known.begin(), known.end(), id) == known.end()) { config.eos_token_ids.push_back(id); }
  }
  return ok_status();
}

Result<std::string> read_architecture(const json& object) {
  const json names = object.value("architectures", json());
  if (!names.is_array() || names.size() != 1 || !names[0].is_string()) {
    return candidate_error("config.json: \"architectures\" must name one architecture");
  }
  return names[0].get<std::string>();
}

// Names what the architecture wraps, where it wraps a language model.
Error unknown_architecture(const json& object, const std::string& name) {
  const json text = value_or(object, "text_config", json());
  std::string wrapped;
  if (text.is_object()) {
    wrapped =
        ", which wraps a language model of type " + value_or(text, "model_type", "unknown").dump() + " (text_config)";
  }
  return candidate_error("architecture " + name + " is not supported" + wrapped,
                         "supported: " + join(architecture_names(), ", "));
}

}  // namespace

Result<ModelConfig> read_model_config(const std::filesystem::path& folder) {
  VORTEX_ASSIGN(const std::string text, read_file(folder / "config.json"));
  const json object = parse_json(text);
  if (!object.is_object()) { return candidate_error((folder / "config.json").string() + " is not a JSON object"); }
  ModelConfig config;
  VORTEX_ASSIGN(config.architecture, read_architecture(object));
  const Architecture* architecture = find_architecture(config.architecture);
  if (architecture == nullptr) { return unknown_architecture(object, config.architecture); }
  VORTEX_TRY(read_sizes(object, config));
  VORTEX_TRY(read_rope(object, architecture->partial_rotary, config));
  VORTEX_ASSIGN(config.rms_norm_eps, read_positive(object, "rms_norm_eps", config.rms_norm_eps));
  VORTEX_TRY(read_flags(object, config));
  VORTEX_TRY(read_all_stop_tokens(object, folder, config));
  VORTEX_TRY(architecture->read_config(object, config));
  VORTEX_TRY(check_heads(config));
  return config;
}

vflow::ModelGeometry geometry_of(const ModelConfig& config, int max_context, int64_t kv_memory_bytes) {
  vflow::ModelGeometry geometry;
  geometry.layers = config.num_layers;
  geometry.num_q_heads = config.num_q_heads;
  geometry.num_kv_heads = config.num_kv_heads;
  geometry.head_dim = config.head_dim;
  if (config.latent) {
    geometry.kv_lora_rank = config.latent->kv_rank;
    geometry.rope_dim = config.latent->rope_dim;
  }
  geometry.max_context = max_context;
  geometry.kv_memory_bytes = kv_memory_bytes;
  return geometry;
}

}  // namespace vortex::model
