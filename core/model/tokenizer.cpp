#include "core/model/tokenizer.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "core/model/tokenizer_models.h"
#include "core/model/unicode.h"

namespace vortex::model {
namespace {

struct TokenizerModel {
  const char* type;
  Result<std::unique_ptr<Tokenizer>> (*make)(const nlohmann::json& json);
};

constexpr TokenizerModel kTokenizerModels[] = {
    {"WordLevel", make_word_level},
#ifdef VORTEX_BPE
    {"BPE", make_byte_level_bpe},
#endif
};

}  // namespace

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  TextStream stream(*this, true);
  std::string text;
  for (int32_t id : ids) { text += stream.push(id); }
  return text + stream.finish();
}

std::string TextStream::push(int32_t id) {
  if (!with_special_ && tokenizer_.is_special(id)) { return {}; }
  const std::string bytes = pending_ + tokenizer_.piece(id, first_);
  first_ = false;
  return repair_utf8(bytes, &pending_);
}

std::string TextStream::finish() { return repair_utf8(std::exchange(pending_, {})); }

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  VORTEX_ASSIGN(const std::string text, read_file(path));
  return parse_tokenizer(text, path.string());
}

Result<std::unique_ptr<Tokenizer>> parse_tokenizer(std::string_view text, const std::string& name) {
  const auto json = parse_json(text);
  if (!json.is_object() || !json.contains("model") || !json["model"].is_object() || !json["model"].contains("type") ||
      !json["model"]["type"].is_string()) {
    return candidate_error(name + " is not a tokenizer: it lacks the object \"model\" with a \"type\"");
  }
  const auto type = json["model"]["type"].get<std::string>();
  std::vector<std::string> known;
  for (const TokenizerModel& model : kTokenizerModels) {
    if (type == model.type) { return model.make(json); }
    known.emplace_back(model.type);
  }
  return candidate_error(name + ": tokenizer model " + type + " is not supported", "supported: " + join(known, ", "));
}

}  // namespace vortex::model
