// Tokenizers whose vocabulary is a list of words that white space separates.
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "core/model/tokenizer_models.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr std::string_view kWhitespace = " \t\n\r\v\f";
constexpr int64_t kMaxId = 1 << 24;

class WordLevel : public Tokenizer {
 public:
  // A word may have one id only and the other way round.
  Status add(const std::string& word, const json& id_value) {
    if (!id_value.is_number_integer() || id_value < 0 || id_value > kMaxId) {
      return candidate_error("tokenizer.json: token \"" + word + "\" has the id " + id_value.dump());
    }
    const auto id = id_value.get<int32_t>();
    const auto [place, inserted] = ids_.emplace(word, id);
    if (!inserted && place->second != id) {
      return candidate_error("tokenizer.json: token \"" + word + "\" has two ids");
    }
    if (static_cast<size_t>(id) >= words_.size()) { words_.resize(static_cast<size_t>(id) + 1); }
    std::string& known = words_[static_cast<size_t>(id)];
    if (!known.empty() && known != word) {
      return candidate_error("tokenizer.json: id " + std::to_string(id) + " belongs to \"" + known + "\" and \"" +
                             word + "\"");
    }
    known = word;
    return ok_status();
  }

  Result<std::vector<int32_t>> encode(std::string_view text) const override {
    std::vector<int32_t> ids;
    size_t begin = text.find_first_not_of(kWhitespace);
    while (begin != std::string_view::npos) {
      const size_t end = std::min(text.find_first_of(kWhitespace, begin), text.size());
      const std::string word(text.substr(begin, end - begin));
      const auto found = ids_.find(word);
      if (found == ids_.end()) {
        return candidate_error("the word \"" + word + "\" at byte " + std::to_string(begin) +
                               " is not in the vocabulary");
      }
      ids.push_back(found->second);
      begin = text.find_first_not_of(kWhitespace, end);
    }
    return ids;
  }

  std::string piece(int32_t id, bool first) const override {
    const bool known = id >= 0 && static_cast<size_t>(id) < words_.size() && !words_[static_cast<size_t>(id)].empty();
    return (first ? "" : " ") + (known ? words_[static_cast<size_t>(id)] : "<" + std::to_string(id) + ">");
  }

  bool is_special(int32_t id) const override { return special_.count(id) > 0; }

  void mark_special(int32_t id) { special_.insert(id); }

 private:
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<std::string> words_;
  std::set<int32_t> special_;
};

// Steps of the Hugging Face pipeline that would change the text or the ids and are not implemented here.
Status check_pipeline(const json& object) {
  const json split = object.value("pre_tokenizer", json());
  if (!split.is_object() || split.value("type", json()) != "WhitespaceSplit") {
    return candidate_error("tokenizer.json: a WordLevel model needs the pre_tokenizer WhitespaceSplit, not " +
                           split.dump());
  }
  for (const char* step : {"normalizer", "post_processor"}) {
    if (object.contains(step) && !object[step].is_null()) {
      return candidate_error(std::string("tokenizer.json: the ") + step + " of a WordLevel model must be null");
    }
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_word_level(const json& object) {
  VORTEX_TRY(check_pipeline(object));
  const json& model = object["model"];
  if (!model.contains("vocab") || !model["vocab"].is_object()) {
    return candidate_error("tokenizer.json: model.vocab must be an object");
  }
  auto tokenizer = std::make_unique<WordLevel>();
  for (const auto& [word, id] : model["vocab"].items()) { VORTEX_TRY(tokenizer->add(word, id)); }
  const json added = object.value("added_tokens", json::array());
  if (!added.is_array()) { return candidate_error("tokenizer.json: added_tokens must be a list"); }
  for (const json& token : added) {
    if (!token.is_object() || !token.contains("content") || !token["content"].is_string() || !token.contains("id")) {
      return candidate_error("tokenizer.json: an added token lacks content or id");
    }
    VORTEX_TRY(tokenizer->add(token["content"].get<std::string>(), token["id"]));
    if (token.value("special", json()) == true) { tokenizer->mark_special(token["id"].get<int32_t>()); }
  }
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace vortex::model
