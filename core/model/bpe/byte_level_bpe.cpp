// Byte-level BPE tokenizers (GPT-2, Llama 3, Qwen, SmolLM2): added tokens are cut out, the rest is normalized, split
// into words and merged; the words that a text repeats are merged once.
#include <algorithm>
#include <deque>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "core/model/bpe/added_tokens.h"
#include "core/model/bpe/byte_alphabet.h"
#include "core/model/bpe/merger.h"
#include "core/model/bpe/normalizer.h"
#include "core/model/bpe/pre_tokenizer.h"
#include "core/model/tokenizer_models.h"
#include "core/model/unicode.h"

namespace vortex::model {
namespace {

using nlohmann::json;

// Ids that the post-processor puts around a text.
struct Template {
  std::vector<int32_t> before;
  std::vector<int32_t> after;
};

// Everything that a tokenizer.json with a BPE model says.
struct Pipeline {
  std::vector<AddedToken> added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Merger merger;
  Template around;
};

// Where in a list of ids those of a word lie.
struct WordIds {
  size_t begin = 0;
  size_t end = 0;
};

class ByteLevelBpe : public Tokenizer {
 public:
  explicit ByteLevelBpe(Pipeline pipeline)
      : p_(std::move(pipeline)), raw_(p_.added, false, p_.normalizer), normalized_(p_.added, true, p_.normalizer) {
    for (const auto& [token, id] : p_.merger.vocabulary()) { keep_piece(token, id); }
    for (const AddedToken& token : p_.added) {
      keep_piece(token.content, token.id);
      if (token.special) { special_.insert(token.id); }
    }
  }

  Result<std::vector<int32_t>> encode(std::string_view text) const override {
    if (const auto bad = find_invalid_utf8(text)) {
      return candidate_error("the text is not UTF-8 at byte " + std::to_string(*bad));
    }
    std::vector<int32_t> ids;
    for (const Segment& segment : raw_.split(text)) {
      if (segment.token >= 0) {
        ids.push_back(segment.token);
      } else {
        VORTEX_TRY(encode_text(p_.normalizer.apply(segment.text), ids));
      }
    }
    return ids;
  }

  std::vector<int32_t> add_special_tokens(std::vector<int32_t> ids) const override {
    ids.insert(ids.begin(), p_.around.before.begin(), p_.around.before.end());
    ids.insert(ids.end(), p_.around.after.begin(), p_.around.after.end());
    return ids;
  }

  std::string piece(int32_t id, bool /*first*/) const override {
    return id >= 0 && static_cast<size_t>(id) < pieces_.size() ? pieces_[static_cast<size_t>(id)] : std::string();
  }

  bool is_special(int32_t id) const override { return special_.count(id) > 0; }

 private:
  void keep_piece(const std::string& token, int32_t id) {
    if (static_cast<size_t>(id) >= pieces_.size()) { pieces_.resize(static_cast<size_t>(id) + 1); }
    pieces_[static_cast<size_t>(id)] = bytes_of_token(token).value_or(token);
  }

  Status encode_text(const std::string& text, std::vector<int32_t>& ids) const {
    for (const Segment& segment : normalized_.split(text)) {
      if (segment.token >= 0) {
        ids.push_back(segment.token);
        continue;
      }
      std::deque<std::string> owned;
      VORTEX_ASSIGN(const auto words, p_.pre_tokenizer.split(segment.text, owned));
      std::unordered_map<std::string_view, WordIds> seen;
      for (std::string_view word : words) {
        const auto [place, is_new] = seen.try_emplace(word, WordIds{ids.size(), ids.size()});
        if (is_new) {
          p_.merger.encode(word, ids);
          place->second.end = ids.size();
        } else {
          for (size_t i = place->second.begin; i < place->second.end; ++i) { ids.push_back(ids[i]); }
        }
      }
    }
    return ok_status();
  }

  Pipeline p_;
  AddedTokenFinder raw_;             // tokens looked for before normalization
  AddedTokenFinder normalized_;      // and after
  std::vector<std::string> pieces_;  // bytes by id
  std::unordered_set<int32_t> special_;
};

// The ids that TemplateProcessing puts before and after the text, which is its sequence A.
Result<Template> read_template(const json& object) {
  const json single = object.value("single", json());
  const json specials = object.value("special_tokens", json::object());
  if (!single.is_array() || !specials.is_object()) {
    return candidate_error("tokenizer.json: the post_processor's template lacks single or special_tokens");
  }
  Template around;
  bool behind = false;
  for (const json& part : single) {
    if (part.is_object() && part.contains("Sequence")) {
      behind = true;
      continue;
    }
    const json name = part.is_object() ? part.value("/SpecialToken/id"_json_pointer, json()) : json();
    const json token = name.is_string() ? specials.value(name.get<std::string>(), json()) : json();
    const json ids = token.is_object() ? token.value("ids", json()) : json();
    if (!ids.is_array()) {
      return candidate_error("tokenizer.json: the template names an unknown token " + name.dump());
    }
    for (const json& id : ids) {
      if (!id.is_number_unsigned() || id > (1 << 24)) {
        return candidate_error("tokenizer.json: template id " + id.dump());
      }
      (behind ? around.after : around.before).push_back(id.get<int32_t>());
    }
  }
  return around;
}

// ByteLevel (which changes no id), TemplateProcessing, or a Sequence of these.
Result<Template> read_post_processor(const json& object) {
  if (object.is_null()) { return Template{}; }
  const json type = object.is_object() ? object.value("type", json()) : json();
  if (type == "ByteLevel") { return Template{}; }
  if (type == "TemplateProcessing") { return read_template(object); }
  if (type != "Sequence" || !object.value("processors", json()).is_array()) {
    return candidate_error("tokenizer.json: post_processor " + type.dump() + " is not supported",
                           "ByteLevel, TemplateProcessing and Sequence are");
  }
  Template all;
  for (const json& part : object["processors"]) {
    VORTEX_ASSIGN(const Template one, read_post_processor(part));
    all.before.insert(all.before.begin(), one.before.begin(), one.before.end());
    all.after.insert(all.after.end(), one.after.begin(), one.after.end());
  }
  return all;
}

// Steps that would change the text and are not implemented. What a file says of truncation and padding is left over
// from training; whoever asks for ids says it anew.
Status check_decoder(const json& object) {
  json decoder = object.value("decoder", json());
  const json parts = decoder.is_object() ? decoder.value("decoders", json()) : json();
  if (parts.is_array() && parts.size() == 1 && decoder.value("type", json()) == "Sequence") { decoder = parts[0]; }
  const json type = decoder.is_object() ? decoder.value("type", json()) : json();
  if (type == "ByteLevel") { return ok_status(); }
  return candidate_error("tokenizer.json: decoder " + type.dump() + " is not supported", "ByteLevel is");
}

// The reference gives an added token that the vocabulary has the id that it has there, whatever the file says, and
// counts the ids behind it differently: what the author of such a file meant cannot be known.
Status check_added_ids(const std::vector<AddedToken>& added, const Merger& merger) {
  for (const AddedToken& token : added) {
    const auto found = merger.vocabulary().find(token.content);
    if (found == merger.vocabulary().end() || found->second == token.id) { continue; }
    return candidate_error("tokenizer.json: added token \"" + token.content + "\" has the id " +
                           std::to_string(token.id) + ", but the vocabulary gives it " + std::to_string(found->second));
  }
  return ok_status();
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_byte_level_bpe(const json& object) {
  VORTEX_TRY(check_decoder(object));
  VORTEX_ASSIGN(PreTokenizer pre_tokenizer, read_pre_tokenizer(object.value("pre_tokenizer", json())));
  VORTEX_ASSIGN(const Normalizer normalizer, read_normalizer(object.value("normalizer", json())));
  VORTEX_ASSIGN(Template around, read_post_processor(object.value("post_processor", json())));
  VORTEX_ASSIGN(std::vector<AddedToken> added, read_added_tokens(object.value("added_tokens", json())));
  VORTEX_ASSIGN(Merger merger, Merger::read(object["model"]));
  VORTEX_TRY(check_added_ids(added, merger));
  return std::unique_ptr<Tokenizer>(std::make_unique<ByteLevelBpe>(
      Pipeline{std::move(added), normalizer, std::move(pre_tokenizer), std::move(merger), std::move(around)}));
}

}  // namespace vortex::model
