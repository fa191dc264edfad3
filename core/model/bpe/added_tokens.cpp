#include "core/model/bpe/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vortex::model {
namespace {

using nlohmann::json;

// White_Space beyond utf8proc's separators: the controls that Unicode counts in.
bool is_space(utf8proc_int32_t code) {
  if ((code >= 0x09 && code <= 0x0d) || code == 0x85) { return true; }
  const auto category = utf8proc_category(code);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

// \w of Unicode's regular expressions (UTS 18, C): Alphabetic, marks, decimal digits, connectors and join controls.
// Letters in circles and squares are Alphabetic, though symbols.
bool is_word(utf8proc_int32_t code) {
  const auto category = utf8proc_category(code);
  const auto within = [code](utf8proc_int32_t first, utf8proc_int32_t last) { return code >= first && code <= last; };
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) || category == UTF8PROC_CATEGORY_PC ||
         within(0x24b6, 0x24e9) || within(0x1f130, 0x1f149) || within(0x1f150, 0x1f169) || within(0x1f170, 0x1f189) ||
         within(0x200c, 0x200d);
}

struct Character {
  utf8proc_int32_t code = -1;
  size_t size = 0;
};

Character first_character(std::string_view text) {
  Character c;
  const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                     static_cast<utf8proc_ssize_t>(text.size()), &c.code);
  c.size = size > 0 ? static_cast<size_t>(size) : 0;
  return c;
}

Character last_character(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && (static_cast<unsigned char>(text[--begin]) & 0xc0) == 0x80) {}
  return first_character(text.substr(begin));
}

size_t leading_space(std::string_view text) {
  size_t size = 0;
  for (Character c = first_character(text); c.size > 0 && is_space(c.code); c = first_character(text.substr(size))) {
    size += c.size;
  }
  return size;
}

size_t trailing_space(std::string_view text) {
  size_t size = 0;
  for (Character c = last_character(text); c.size > 0 && is_space(c.code);
       c = last_character(text.substr(0, text.size() - size))) {
    size += c.size;
  }
  return size;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
  const Character before = last_character(text.substr(0, begin));
  const Character after = first_character(text.substr(end));
  return (before.size == 0 || !is_word(before.code)) && (after.size == 0 || !is_word(after.code));
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(const std::vector<AddedToken>& tokens, bool normalized, const Normalizer& normalizer)
    : nodes_(1) {
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized) { continue; }
    const std::string content = normalized ? normalizer.apply(token.content) : token.content;
    if (content.empty()) { continue; }
    size_t node = 0;
    for (char c : content) {
      const auto [place, inserted] = nodes_[node].next.emplace(c, nodes_.size());
      node = place->second;
      if (inserted) { nodes_.emplace_back(); }
    }
    if (nodes_[node].token < 0) { nodes_[node].token = static_cast<int>(tokens_.size()); }
    tokens_.push_back(token);
  }
}

std::pair<int, size_t> AddedTokenFinder::longest(std::string_view text) const {
  std::pair<int, size_t> best = {-1, 0};
  size_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto next = nodes_[node].next.find(text[i]);
    if (next == nodes_[node].next.end()) { break; }
    node = next->second;
    if (nodes_[node].token >= 0) { best = {nodes_[node].token, i + 1}; }
  }
  return best;
}

std::vector<Segment> AddedTokenFinder::split(std::string_view text) const {
  std::vector<Segment> segments;
  size_t done = 0;  // everything before is in a segment
  for (size_t at = 0; at < text.size();) {
    const auto [index, size] = longest(text.substr(at));
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(index)];
    size_t begin = at;
    size_t end = at + size;
    at = end;
    if (token.single_word && !stands_alone(text, begin, end)) { continue; }
    if (token.lstrip) { begin -= trailing_space(text.substr(0, begin)); }
    if (token.rstrip) { end += leading_space(text.substr(end)); }
    begin = std::max(begin, done);  // a token before may have taken that space
    if (end <= begin) { continue; }
    if (done < begin) { segments.push_back({-1, text.substr(done, begin - done)}); }
    segments.push_back({token.id, text.substr(begin, end - begin)});
    done = end;
  }
  if (done < text.size()) { segments.push_back({-1, text.substr(done)}); }
  return segments;
}

Result<std::vector<AddedToken>> read_added_tokens(const json& list) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) { return tokens; }
  if (!list.is_array()) { return candidate_error("tokenizer.json: added_tokens must be a list"); }
  for (const json& item : list) {
    if (!item.is_object() || !item.contains("content") || !item["content"].is_string() || !item.contains("id") ||
        !item["id"].is_number_unsigned() || item["id"] > (1 << 24)) {
      return candidate_error("tokenizer.json: an added token lacks content or a usable id");
    }
    AddedToken token{item["id"].get<int32_t>(), item["content"].get<std::string>()};
    for (const auto& [key, out] : {std::pair{"special", &token.special},
                                   {"normalized", &token.normalized},
                                   {"single_word", &token.single_word},
                                   {"lstrip", &token.lstrip},
                                   {"rstrip", &token.rstrip}}) {
      const json flag = item.value(key, json(false));
      if (!flag.is_boolean()) {
        return candidate_error("tokenizer.json: " + std::string(key) + " of added token \"" + token.content +
                               "\" must be true or false");
      }
      *out = flag.get<bool>();
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace vortex::model
