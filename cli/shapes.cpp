#include "cli/shapes.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/policy_files.h"
#include "core/model/model.h"

namespace vortex::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// From the models' own config.json; of latent attention what is cached.
struct Published {
  const char* name;
  int layers;
  int q_heads;
  int kv_heads;
  int head_dim;
  int kv_lora_rank;
  int rope_dim;
};
constexpr std::array kPublished = {
    Published{"qwen3-0.6b", 28, 16, 8, 128, 0, 0},
    Published{"qwen3-1.7b", 28, 16, 8, 128, 0, 0},
    Published{"qwen3-4b", 36, 32, 8, 128, 0, 0},
    Published{"qwen3-8b", 36, 32, 8, 128, 0, 0},
    Published{"qwen3-14b", 40, 40, 8, 128, 0, 0},
    Published{"qwen3-32b", 64, 64, 8, 128, 0, 0},
    Published{"qwen2.5-7b", 28, 28, 4, 128, 0, 0},
    Published{"llama-3.2-1b", 16, 32, 8, 64, 0, 0},
    Published{"llama-3.2-3b", 28, 24, 8, 128, 0, 0},
    Published{"llama-3.1-8b", 32, 32, 8, 128, 0, 0},
    Published{"smollm2-135m", 30, 9, 3, 64, 0, 0},
    Published{"qwen3-30b-a3b", 48, 32, 4, 128, 0, 0},
    Published{"qwen3-235b-a22b", 94, 64, 4, 128, 0, 0},
    Published{"minimax-m2", 62, 48, 8, 128, 0, 0},
    Published{"minimax-m2.1", 62, 48, 8, 128, 0, 0},
    Published{"minimax-m2.5", 62, 48, 8, 128, 0, 0},
    Published{"minimax-m2.7", 62, 48, 8, 128, 0, 0},
    Published{"glm-4.7-flash", 47, 20, 1, 576, 512, 64},
    Published{"deepseek-v2-lite", 27, 16, 1, 576, 512, 64},
    Published{"moonlight-16b-a3b", 27, 16, 1, 576, 512, 64},
    Published{"deepseek-v3", 61, 128, 1, 576, 512, 64},
};

// "Qwen/Qwen3-1.7B-Instruct" as the table has it.
std::string plain_name(const std::string& name) {
  std::string plain =
      lower_ascii(name.substr(name.find_last_of('/') == std::string::npos ? 0 : name.find_last_of('/') + 1));
  for (const std::string_view tail : {"-instruct", "-chat", "-base", "-thinking"}) {
    if (plain.ends_with(tail)) { plain.resize(plain.size() - tail.size()); }
  }
  return plain;
}

std::optional<Shape> published_shape(const std::string& name) {
  const std::string plain = plain_name(name);
  for (const Published& model : kPublished) {
    if (model.name != plain) { continue; }
    Shape shape;
    shape.geometry.max_context = 0;
    shape.geometry.layers = model.layers;
    shape.geometry.num_q_heads = model.q_heads;
    shape.geometry.num_kv_heads = model.kv_heads;
    shape.geometry.head_dim = model.head_dim;
    shape.geometry.kv_lora_rank = model.kv_lora_rank;
    shape.geometry.rope_dim = model.rope_dim;
    return shape;
  }
  return std::nullopt;
}

// A size of a configuration; 0 where it says none.
int size_of(const json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end() || !found->is_number_integer() || *found < 0 || *found > (1 << 24)) { return 0; }
  return found->get<int>();
}

Result<Shape> read_shape(const fs::path& file) {
  VORTEX_ASSIGN(const std::string text, read_file(file));
  json config = parse_json(text);
  if (!config.is_object()) { return candidate_error(file.string() + " is not a JSON object"); }
  if (config.contains("text_config") && config["text_config"].is_object()) { config = json(config["text_config"]); }
  Shape shape;
  vflow::ModelGeometry& geometry = shape.geometry;
  geometry.max_context = size_of(config, "max_position_embeddings");
  geometry.layers = size_of(config, "num_hidden_layers");
  geometry.num_q_heads = size_of(config, "num_attention_heads");
  if (geometry.layers == 0 || geometry.num_q_heads == 0) {
    return candidate_error(file.string() + " lacks num_hidden_layers or num_attention_heads, or has them beyond 2^24");
  }
  geometry.num_kv_heads = size_of(config, "num_key_value_heads");
  if (geometry.num_kv_heads == 0) { geometry.num_kv_heads = geometry.num_q_heads; }
  geometry.kv_lora_rank = size_of(config, "kv_lora_rank");
  geometry.rope_dim = geometry.kv_lora_rank > 0 ? size_of(config, "qk_rope_head_dim") : 0;
  geometry.head_dim = size_of(config, "head_dim");
  if (geometry.head_dim == 0) { geometry.head_dim = size_of(config, "hidden_size") / geometry.num_q_heads; }
  if (geometry.kv_lora_rank > 0) {  // one head, of the latent and its rotated part
    geometry.num_kv_heads = 1;
    geometry.head_dim = geometry.kv_lora_rank + geometry.rope_dim;
  }
  const auto engine = model::read_model_config(file.parent_path());
  if (!engine.ok()) { shape.warning = "this runtime does not run that model: " + engine.error().message; }
  return shape;
}

// What a configuration says of itself, without its mistakes: the check tells those.
std::string named_model(const vflow::PolicySource& source) {
  const json config = parse_json(source.config_text);
  const auto named = config.is_object() ? config.find("model_path") : config.end();
  return config.is_object() && named != config.end() && named->is_string() ? named->get<std::string>() : std::string();
}

// What vortex_torch sizes a row for: vortex_max_seq_lens, of which -1 means the model's context (0 where nobody knows).
int context_of(const vflow::PolicySource& source, int models_own) {
  std::vector<vflow::Diagnostic> ignored;
  const vflow::EngineConfig config = vflow::parse_config(source.config_text, source.config_file, ignored);
  if (config.max_seq_lens > 0) { return config.max_seq_lens; }
  return models_own > 0 ? models_own : kDefaultContext;
}

}  // namespace

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const Published& model : kPublished) { names.emplace_back(model.name); }
  return names;
}

void add_shape_option(CLI::App* verb, std::string& shape) {
  verb->add_option("--shape", shape,
                   "shape of the model, instead of its folder: a config.json, or one of " + join(shape_names(), ", "));
}

Result<Shape> find_shape(const std::string& name) {
  std::error_code ec;
  if (fs::is_regular_file(name, ec)) { return read_shape(name); }
  if (fs::is_regular_file(fs::path(name) / "config.json", ec)) { return read_shape(fs::path(name) / "config.json"); }
  if (const std::optional<Shape> shape = published_shape(name)) { return *shape; }
  return candidate_error("no model's shape is called " + name,
                         "name a folder, a config.json, or one of: " + join(shape_names(), ", "));
}

Result<Shape> shape_of(const vflow::PolicySource& source, const std::string& shape, const std::string& model,
                       int max_context) {
  std::string name = !shape.empty() ? shape : model;
  if (name.empty()) {
    const Result<std::string> folder = model_of(source, "");
    name = folder.ok() ? *folder : named_model(source);
  }
  if (name.empty()) {
    VORTEX_TRY(check_config(source));
    return candidate_error("which model? the configuration names none",
                           "name its shape with --shape: a config.json, or one of: " + join(shape_names(), ", "));
  }
  VORTEX_ASSIGN(Shape found, find_shape(name));
  found.geometry.max_context = max_context > 0 ? max_context : context_of(source, found.geometry.max_context);
  return found;
}

}  // namespace vortex::cli
