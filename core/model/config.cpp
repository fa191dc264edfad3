#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "core/model/architecture.h"
#include "core/model/chat.h"
#include "core/model/model.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr int64_t kMaxSize = 1 << 24;  // bounds every size, so that products of two stay within 64 bits

// A null stands for an absent member, as published files have it for everything optional.
bool has(const json& object, const char* key) { return object.contains(key) && !object[key].is_null(); }

json value_or(const json& object, const char* key, json fallback) {
  return has(object, key) ? object[key] : std::move(fallback);
}

Result<int> read_size(const json& object, const char* key) {
  if (!has(object, key)) { return candidate_error(std::string("config.json lacks ") + key); }
  const json& value = object[key];
  if (!value.is_number_integer() || value < 1 || value > kMaxSize) {
    return candidate_error(std::string("config.json: ") + key + " must be a whole number from 1 to " +
                           std::to_string(kMaxSize) + ", not " + value.dump());
  }
  return value.get<int>();
}

Result<double> read_positive(const json& object, const char* key, double fallback) {
  if (!has(object, key)) { return fallback; }
  const json& value = object[key];
  if (!value.is_number() || !(value.get<double>() > 0)) {
    return candidate_error(std::string("config.json: ") + key + " must be a positive number, not " + value.dump());
  }
  return value.get<double>();
}

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
  if (config.num_q_heads % config.num_kv_heads != 0) {
    return candidate_error("config.json: num_attention_heads must be a multiple of num_key_value_heads");
  }
  if (config.head_dim < 1 || config.head_dim % 2 != 0) {
    return candidate_error("config.json: head_dim must be even, not " + std::to_string(config.head_dim));
  }
  return ok_status();
}

Status refuse_partial_rotary(const json& object) {
  const json share = value_or(object, "partial_rotary_factor", 1.0);
  if (share == 1.0) { return ok_status(); }
  return candidate_error("config.json: partial_rotary_factor " + share.dump() + " is not supported");
}

Result<RopeScaling> read_llama3_scaling(const json& rope) {
  RopeScaling scaling;
  for (const auto& [key, out] : {std::pair{"factor", &scaling.factor},
                                 {"low_freq_factor", &scaling.low_freq_factor},
                                 {"high_freq_factor", &scaling.high_freq_factor}}) {
    if (!has(rope, key)) { return candidate_error(std::string("config.json: rope scaling lacks ") + key); }
    VORTEX_ASSIGN(*out, read_positive(rope, key, 0));
  }
  VORTEX_ASSIGN(scaling.original_context, read_size(rope, "original_max_position_embeddings"));
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    return candidate_error("config.json: rope scaling needs a high_freq_factor above low_freq_factor");
  }
  return scaling;
}

// The settings of the layers that we run, where an object has some for every type of layer; else the object itself.
Result<json> rope_of_layers(const json& rope, const std::string& key) {
  if (!rope.is_object()) { return candidate_error("config.json: " + key + " must be an object"); }
  const bool nested = std::any_of(rope.begin(), rope.end(), [](const json& member) { return member.is_object(); });
  if (!nested) { return rope; }
  const json& full = value_or(rope, "full_attention", json());
  if (full.is_object()) { return full; }
  return candidate_error("config.json: " + key + " says nothing for full_attention: " + rope.dump());
}

// Newer configs keep the rotary settings in one object, older ones beside the rest.
Status read_rope(const json& object, ModelConfig& config) {
  VORTEX_ASSIGN(config.rope_theta, read_positive(object, "rope_theta", config.rope_theta));
  bool theta_known = has(object, "rope_theta");
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!has(object, key)) { continue; }
    VORTEX_ASSIGN(const json rope, rope_of_layers(object[key], key));
    theta_known = theta_known || has(rope, "rope_theta") || std::string_view(key) == "rope_scaling";
    if (!theta_known) { return candidate_error(std::string("config.json: ") + key + " lacks rope_theta"); }
    const json type = value_or(rope, "rope_type", value_or(rope, "type", "default"));
    if (type == "llama3") {
      VORTEX_ASSIGN(config.rope_scaling, read_llama3_scaling(rope));
    } else if (type != "default") {
      return candidate_error("config.json: rope scaling " + type.dump() + " is not supported",
                             "\"llama3\" and none at all are");
    }
    VORTEX_ASSIGN(config.rope_theta, read_positive(rope, "rope_theta", config.rope_theta));
    VORTEX_TRY(refuse_partial_rotary(rope));
  }
  return refuse_partial_rotary(object);
}

Status read_flags(const json& object, ModelConfig& config) {
  const json tied = value_or(object, "tie_word_embeddings", false);
  if (!tied.is_boolean()) { return candidate_error("config.json: tie_word_embeddings must be true or false"); }
  config.tie_word_embeddings = tied.get<bool>();
  const json activation = value_or(object, "hidden_act", "silu");
  if (activation != "silu") {
    return candidate_error("config.json: hidden_act " + activation.dump() + " is not supported");
  }
  if (has(object, "quantization_config")) {
    return candidate_error("config.json: quantised checkpoints are not supported");
  }
  const json kinds = value_or(object, "layer_types", json::array());
  for (const json& kind : kinds.is_array() ? kinds : json::array({kinds})) {
    if (kind != "full_attention") {
      return candidate_error("config.json: layer type " + kind.dump() + " is not supported");
    }
  }
  return ok_status();
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

}  // namespace

Result<ModelConfig> read_model_config(const std::filesystem::path& folder) {
  VORTEX_ASSIGN(const std::string text, read_file(folder / "config.json"));
  const json object = parse_json(text);
  if (!object.is_object()) { return candidate_error((folder / "config.json").string() + " is not a JSON object"); }
  ModelConfig config;
  VORTEX_ASSIGN(config.architecture, read_architecture(object));
  const Architecture* architecture = find_architecture(config.architecture);
  if (architecture == nullptr) {
    return candidate_error("architecture " + config.architecture + " is not supported",
                           "supported: " + join(architecture_names(), ", "));
  }
  VORTEX_TRY(read_sizes(object, config));
  VORTEX_TRY(read_rope(object, config));
  VORTEX_ASSIGN(config.rms_norm_eps, read_positive(object, "rms_norm_eps", config.rms_norm_eps));
  VORTEX_TRY(read_flags(object, config));
  VORTEX_TRY(read_all_stop_tokens(object, folder, config));
  VORTEX_TRY(architecture->read_config(object, config));
  return config;
}

vflow::ModelGeometry geometry_of(const ModelConfig& config, int max_context, int64_t kv_memory_bytes) {
  vflow::ModelGeometry geometry;
  geometry.layers = config.num_layers;
  geometry.num_q_heads = config.num_q_heads;
  geometry.num_kv_heads = config.num_kv_heads;
  geometry.head_dim = config.head_dim;
  geometry.max_context = max_context;
  geometry.kv_memory_bytes = kv_memory_bytes;
  return geometry;
}

}  // namespace vortex::model
