#include "core/model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "core/model/config_json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

// How much of a head is rotated, from its front.
Status read_share(const json& object, bool partial, ModelConfig& config) {
  const json share = value_or(object, "partial_rotary_factor", 1.0);
  if (share == 1.0) { return ok_status(); }
  const double rotated = share.is_number() ? share.get<double>() * config.head_dim : 0.0;
  if (!partial || !(rotated >= 2 && rotated <= config.head_dim) || std::fmod(rotated, 2) != 0) {
    return candidate_error("config.json: partial_rotary_factor " + share.dump() + " is not supported");
  }
  config.rotated = static_cast<int>(rotated);
  return ok_status();
}

Error lacks(const char* key) { return candidate_error(std::string("config.json: rope scaling lacks ") + key); }

Result<RopeScaling> read_llama3_scaling(const json& rope) {
  RopeScaling scaling;
  for (const auto& [key, out] : {std::pair{"factor", &scaling.factor},
                                 {"low_freq_factor", &scaling.low_freq_factor},
                                 {"high_freq_factor", &scaling.high_freq_factor}}) {
    if (!has(rope, key)) { return lacks(key); }
    VORTEX_ASSIGN(*out, read_positive(rope, key, 0));
  }
  VORTEX_ASSIGN(scaling.original_context, read_size(rope, "original_max_position_embeddings"));
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    return candidate_error("config.json: rope scaling needs a high_freq_factor above low_freq_factor");
  }
  return scaling;
}

// As YarnScaling has it, a zero is an absent one.
Result<double> read_mscale(const json& rope, const char* key) {
  if (value_or(rope, key, 0.0) == 0.0) { return 0.0; }
  return read_positive(rope, key, 0);
}

Result<YarnScaling> read_yarn(const json& rope, int max_positions) {
  YarnScaling yarn;
  if (!has(rope, "factor")) { return lacks("factor"); }
  VORTEX_ASSIGN(yarn.factor, read_positive(rope, "factor", 1));
  VORTEX_ASSIGN(yarn.beta_fast, read_positive(rope, "beta_fast", yarn.beta_fast));
  VORTEX_ASSIGN(yarn.beta_slow, read_positive(rope, "beta_slow", yarn.beta_slow));
  VORTEX_ASSIGN(yarn.original_context, read_size_or(rope, "original_max_position_embeddings", max_positions));
  VORTEX_ASSIGN(yarn.whole_pairs, read_flag(rope, "truncate", true));
  VORTEX_ASSIGN(yarn.mscale, read_mscale(rope, "mscale"));
  VORTEX_ASSIGN(yarn.mscale_all_dim, read_mscale(rope, "mscale_all_dim"));
  VORTEX_ASSIGN(yarn.attention_factor, read_mscale(rope, "attention_factor"));
  if (yarn.factor < 1 || yarn.beta_fast < yarn.beta_slow) {
    return candidate_error("config.json: rope scaling needs a factor of at least 1 and beta_fast above beta_slow");
  }
  return yarn;
}

// The settings of the layers that we run, where an object has some for every type of layer; else the object itself.
Result<json> rope_of_layers(const json& rope, const std::string& key) {
  if (!rope.is_object()) { return candidate_error("config.json: " + key + " must be an object"); }
  const bool nested = std::any_of(rope.begin(), rope.end(), [](const json& member) { return member.is_object(); });
  if (!nested) { return rope; }
  json full = value_or(rope, "full_attention", json());
  if (full.is_object()) { return full; }
  return candidate_error("config.json: " + key + " says nothing for full_attention: " + rope.dump());
}

Status read_scaling(const json& rope, ModelConfig& config) {
  const json type = value_or(rope, "rope_type", value_or(rope, "type", "default"));
  if (type == "llama3") {
    VORTEX_ASSIGN(config.rope_scaling, read_llama3_scaling(rope));
  } else if (type == "yarn") {
    VORTEX_ASSIGN(config.yarn, read_yarn(rope, config.max_position_embeddings));
  } else if (type != "default") {
    return candidate_error("config.json: rope scaling " + type.dump() + " is not supported",
                           "\"llama3\", \"yarn\" and none at all are");
  }
  return ok_status();
}

}  // namespace

Status read_rope(const json& object, bool partial, ModelConfig& config) {
  VORTEX_ASSIGN(config.rope_theta, read_positive(object, "rope_theta", config.rope_theta));
  bool theta_known = has(object, "rope_theta");
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!has(object, key)) { continue; }
    VORTEX_ASSIGN(const json rope, rope_of_layers(object[key], key));
    theta_known = theta_known || has(rope, "rope_theta") || std::string_view(key) == "rope_scaling";
    if (!theta_known) { return candidate_error(std::string("config.json: ") + key + " lacks rope_theta"); }
    VORTEX_TRY(read_scaling(rope, config));
    VORTEX_ASSIGN(config.rope_theta, read_positive(rope, "rope_theta", config.rope_theta));
    VORTEX_TRY(read_share(rope, partial, config));
  }
  return read_share(object, partial, config);
}

}  // namespace vortex::model
