#include "core/model/bpe/pre_tokenizer.h"

#include <nlohmann/json.hpp>
#include <optional>

namespace vortex::model {
namespace {

using nlohmann::json;

// GPT-2's splitting pattern (Radford et al. 2019), which ByteLevel uses unless told otherwise.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct Span {
  size_t begin = 0;
  size_t end = 0;
  bool match = false;
};

// Matches and what lies between them, covering a text of `size` bytes.
std::vector<Span> cover(const std::vector<std::pair<size_t, size_t>>& matches, size_t size, bool invert) {
  std::vector<Span> spans;
  size_t done = 0;
  for (const auto& [begin, end] : matches) {
    if (done < begin) { spans.push_back({done, begin, invert}); }
    spans.push_back({begin, end, !invert});
    done = end;
  }
  if (done < size) { spans.push_back({done, size, invert}); }
  return spans;
}

// Does `span` belong to the word that the spans before it ended with?
bool joins(const Span& before, const Span& span, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kContiguous:
      return before.match == span.match;
    case SplitBehavior::kMergedWithPrevious:
      return span.match && !before.match;
    case SplitBehavior::kMergedWithNext:
      return before.match && !span.match;
    default:
      return false;
  }
}

void append_words(std::string_view text, const std::vector<Span>& spans, SplitBehavior behavior,
                  std::vector<std::string_view>& words) {
  for (size_t i = 0; i < spans.size(); ++i) {
    if (behavior == SplitBehavior::kRemoved && spans[i].match) { continue; }
    const size_t begin = spans[i].begin;
    while (i + 1 < spans.size() && joins(spans[i], spans[i + 1], behavior)) { ++i; }
    if (spans[i].end > begin) { words.push_back(text.substr(begin, spans[i].end - begin)); }
  }
}

Result<bool> read_flag(const json& object, const char* key, bool fallback) {
  const json value = object.value(key, json(fallback));
  if (value.is_boolean()) { return value.get<bool>(); }
  return candidate_error(std::string("tokenizer.json: ") + key + " of the pre_tokenizer must be true or false");
}

Result<SplitBehavior> read_behavior(const json& object) {
  const json name = object.value("behavior", json());
  for (const auto& [known, behavior] : {std::pair{"Removed", SplitBehavior::kRemoved},
                                        {"Isolated", SplitBehavior::kIsolated},
                                        {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
                                        {"MergedWithNext", SplitBehavior::kMergedWithNext},
                                        {"Contiguous", SplitBehavior::kContiguous}}) {
    if (name == known) { return behavior; }
  }
  return candidate_error("tokenizer.json: split behavior " + name.dump() + " is not supported");
}

// {"Regex": "..."} or {"String": "..."}
Result<Regex> read_pattern(const json& object) {
  const json pattern = object.value("pattern", json());
  if (pattern.is_object() && pattern.size() == 1 && pattern.begin()->is_string()) {
    const auto text = pattern.begin()->get<std::string>();
    if (pattern.contains("Regex")) { return Regex::compile(text); }
    if (pattern.contains("String")) {
      std::string escaped;
      for (char c : text) {
        if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) { escaped += '\\'; }
        escaped += c;
      }
      return Regex::compile(escaped);
    }
  }
  return candidate_error("tokenizer.json: split pattern " + pattern.dump() + " is not supported");
}

Result<SplitStep> read_split(const json& object) {
  SplitStep step;
  VORTEX_ASSIGN(Regex pattern, read_pattern(object));
  step.pattern.push_back(std::move(pattern));
  VORTEX_ASSIGN(step.behavior, read_behavior(object));
  VORTEX_ASSIGN(step.invert, read_flag(object, "invert", false));
  return step;
}

Result<SplitStep> read_digits(const json& object) {
  SplitStep step;
  VORTEX_ASSIGN(const bool individual, read_flag(object, "individual_digits", false));
  VORTEX_ASSIGN(Regex pattern, Regex::compile("\\p{N}"));
  step.pattern.push_back(std::move(pattern));
  step.behavior = individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
  return step;
}

Result<SplitStep> read_byte_level(const json& object) {
  SplitStep step;
  VORTEX_ASSIGN(step.add_prefix_space, read_flag(object, "add_prefix_space", true));
  VORTEX_ASSIGN(const bool use_regex, read_flag(object, "use_regex", true));
  if (use_regex) {
    VORTEX_ASSIGN(Regex pattern, Regex::compile(kByteLevelPattern));
    step.pattern.push_back(std::move(pattern));
  }
  return step;
}

Status add_steps(const json& object, int depth, PreTokenizer& out) {
  const json type = object.is_object() ? object.value("type", json()) : json();
  if (type == "Sequence" && depth < 4 && object.contains("pretokenizers") && object["pretokenizers"].is_array()) {
    for (const json& part : object["pretokenizers"]) { VORTEX_TRY(add_steps(part, depth + 1, out)); }
    return ok_status();
  }
  // Behind ByteLevel the text is written in another alphabet, which no pattern here expects.
  if (out.byte_level) { return candidate_error("tokenizer.json: pre_tokenizer " + type.dump() + " follows ByteLevel"); }
  if (type == "Split") {
    VORTEX_ASSIGN(SplitStep step, read_split(object));
    out.steps.push_back(std::move(step));
  } else if (type == "Digits") {
    VORTEX_ASSIGN(SplitStep step, read_digits(object));
    out.steps.push_back(std::move(step));
  } else if (type == "ByteLevel") {
    VORTEX_ASSIGN(SplitStep step, read_byte_level(object));
    out.steps.push_back(std::move(step));
    out.byte_level = true;
  } else {
    return candidate_error("tokenizer.json: pre_tokenizer " + type.dump() + " is not supported",
                           "ByteLevel, Split, Digits and Sequence are");
  }
  return ok_status();
}

}  // namespace

Result<std::vector<std::string_view>> PreTokenizer::split(std::string_view text, std::deque<std::string>& owned) const {
  std::vector<std::string_view> words = {text};
  for (const SplitStep& step : steps) {
    std::vector<std::string_view> next;
    for (std::string_view word : words) {
      if (step.add_prefix_space && !word.starts_with(' ')) { word = owned.emplace_back(" " + std::string(word)); }
      if (step.pattern.empty()) {
        next.push_back(word);
        continue;
      }
      VORTEX_ASSIGN(const auto matches, step.pattern[0].matches(word));
      append_words(word, cover(matches, word.size(), step.invert), step.behavior, next);
    }
    words = std::move(next);
  }
  return words;
}

Result<PreTokenizer> read_pre_tokenizer(const json& object) {
  PreTokenizer pre_tokenizer;
  VORTEX_TRY(add_steps(object, 0, pre_tokenizer));
  if (!pre_tokenizer.byte_level) {
    return candidate_error("tokenizer.json: a BPE model without a ByteLevel pre_tokenizer is not supported");
  }
  return pre_tokenizer;
}

}  // namespace vortex::model
