#include "agent/llm/reply.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/llm/markdown.h"
#include "base/json.h"
#include "base/text.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr size_t kMaxVariants = 16;
constexpr size_t kMaxSource = size_t{64} << 10;
constexpr size_t kMaxText = 2000;  // bytes of a sentence that is kept
constexpr int kMaxNesting = 64;    // of JSON

// At most kMaxText bytes, never half a character.
std::string cut(std::string text) {
  if (text.size() <= kMaxText) { return text; }
  size_t end = kMaxText;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) { --end; }
  text.resize(end);
  return text;
}

std::string text_member(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) { return {}; }
  return cut(found->get<std::string>());
}

std::vector<std::string> texts_member(const json& object, const char* key) {
  std::vector<std::string> texts;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) { return texts; }
  for (const json& entry : *found) {
    if (!entry.is_string() || texts.size() == kMaxVariants) { continue; }
    texts.push_back(cut(entry.get<std::string>()));
  }
  return texts;
}

// What a writer says about a variant, whichever form the reply has.
void read_about(const json& object, Variant& variant, std::vector<std::string>& remarks) {
  variant.name = text_member(object, "name");
  variant.operation = text_member(object, "operation");
  variant.rationale = text_member(object, "rationale");
  variant.mechanism = text_member(object, "mechanism");
  const auto parents = object.find("parents");
  if (parents != object.end() && parents->is_array()) {
    for (const json& parent : *parents) {
      if (parent.is_number_integer() && variant.parents.size() < kMaxVariants) {
        variant.parents.push_back(parent.get<int64_t>());
      }
    }
  }
  const auto hypothesis = object.find("hypothesis");
  if (hypothesis == object.end() || !hypothesis->is_object()) { return; }
  json prediction = *hypothesis;
  prediction.erase("claim");
  const auto read = study::prediction_from_json(prediction);
  if (!read.ok()) {
    remarks.push_back("the hypothesis of " + variant.name + ": " + read.error().message);
    return;
  }
  variant.hypothesis = WrittenHypothesis{text_member(*hypothesis, "claim"), *read};
}

void read_notes(const json& object, WrittenReply& reply) {
  for (std::string& text : texts_member(object, "anti_patterns")) { reply.anti_patterns.push_back(std::move(text)); }
  for (std::string& text : texts_member(object, "questions")) { reply.questions.push_back(std::move(text)); }
}

void add_variant(Variant variant, WrittenReply& reply) {
  const std::string name = variant.name.empty() ? "variant " + std::to_string(reply.variants.size() + 1) : variant.name;
  if (reply.variants.size() == kMaxVariants) { return reply.remarks.push_back(name + " is one too many"); }
  if (variant.module.empty()) { return reply.remarks.push_back(name + " has no module"); }
  if (variant.module.size() > kMaxSource || variant.config.size() > kMaxSource) {
    return reply.remarks.push_back(name + " is longer than 64 KiB");
  }
  if (variant.config.empty()) { variant.config = "{}"; }
  reply.variants.push_back(std::move(variant));
}

void read_object(const json& object, WrittenReply& reply) {
  read_notes(object, reply);
  const auto variants = object.find("variants");
  if (variants == object.end() || !variants->is_array()) {
    return reply.remarks.push_back("the JSON object has no array \"variants\"");
  }
  for (const json& entry : *variants) {
    if (!entry.is_object()) {
      reply.remarks.emplace_back("a variant is not an object");
      continue;
    }
    Variant variant;
    read_about(entry, variant, reply.remarks);
    const auto module = entry.find("module");
    if (module != entry.end() && module->is_string()) { variant.module = module->get<std::string>(); }
    const auto config = entry.find("config");
    if (config != entry.end()) {
      const bool text = config->is_string();
      variant.config = text ? config->get<std::string>() : config->dump(2, ' ', false, json::error_handler_t::replace);
    }
    add_variant(std::move(variant), reply);
  }
}

bool is_config(const json& object) {
  for (const auto& [key, value] : object.items()) {
    if (key.rfind("vortex_", 0) == 0) { return true; }
  }
  return false;
}

bool is_python(const std::string& language) {
  return language.starts_with("python") || language == "py" || language == "py3";
}

// Markdown: about, module, configuration, in this order or with the first left out.
void read_blocks(const std::vector<FencedBlock>& blocks, WrittenReply& reply) {
  Variant open;
  const auto finish = [&] {
    if (!open.module.empty()) { add_variant(std::move(open), reply); }
    open = {};
  };
  for (const FencedBlock& block : blocks) {
    if (!block.closed) { reply.remarks.emplace_back("the last code block is cut off"); }
    if (is_python(block.language)) {
      if (!open.module.empty()) { finish(); }
      open.module = block.text;
      continue;
    }
    const json object = parse_json_to_depth(block.text, kMaxNesting);
    if (!object.is_object()) {
      const bool meant = block.language == "json";
      if (meant) { reply.remarks.emplace_back("a json block does not hold a JSON object"); }
      if (meant && !open.module.empty() && open.config.empty()) {
        open.config = block.text;  // its check says why
      }
      continue;
    }
    if (is_config(object)) {
      open.config = block.text;
      finish();
    } else if (object.contains("variants")) {
      finish();
      read_object(object, reply);
    } else if (object.contains("anti_patterns") || object.contains("questions")) {
      read_notes(object, reply);
    } else {
      finish();
      read_about(object, open, reply.remarks);
    }
  }
  finish();
}

// The JSON object that a text without fences has among its words, if it is a reply.
json object_among_words(std::string_view text) {
  const size_t begin = text.find('{');
  const size_t end = text.rfind('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) { return {}; }
  if (!fenced_blocks(text).empty()) { return {}; }
  json object = parse_json_to_depth(text.substr(begin, end + 1 - begin), kMaxNesting);
  return object.is_object() && object.contains("variants") ? object : json();
}

json text_schema() { return {{"type", "string"}}; }

json object_schema(json properties) {
  json required = json::array();
  for (const auto& [name, schema] : properties.items()) { required.push_back(name); }
  return {{"type", "object"},
          {"properties", std::move(properties)},
          {"required", std::move(required)},
          {"additionalProperties", false}};
}

}  // namespace

WrittenReply read_reply(std::string_view text) {
  WrittenReply reply;
  json whole = parse_json_to_depth(text, kMaxNesting);
  if (whole.is_object()) {
    read_object(whole, reply);
  } else {
    const std::string said = without_thoughts(text);
    whole = object_among_words(said);
    if (whole.is_object()) {
      read_object(whole, reply);
    } else {
      read_blocks(fenced_blocks(said), reply);
    }
    const bool nothing = said.find_first_not_of(" \t\r\n") == std::string::npos;
    if (nothing && said.size() < text.size()) { reply.remarks.emplace_back("the reply is nothing but thoughts"); }
  }
  if (reply.variants.empty() && reply.remarks.empty()) {
    reply.remarks.emplace_back("there is no policy in the reply");
  }
  return reply;
}

json reply_schema() {
  const json integers = {{"type", "array"}, {"items", {{"type", "integer"}}}};
  const json texts = {{"type", "array"}, {"items", text_schema()}};
  const auto word = [](std::initializer_list<const char*> words) {
    return json{{"type", "string"}, {"enum", json(std::vector<std::string>(words.begin(), words.end()))}};
  };
  const json hypothesis = object_schema({{"claim", text_schema()},
                                         {"metric", word({"accuracy", "speed", "mass_recall"})},
                                         {"direction", word({"higher", "lower", "same"})},
                                         {"by", {{"type", "number"}}},
                                         {"against", {{"type", "integer"}}}});
  const json variant = object_schema({{"name", text_schema()},
                                      {"parents", integers},
                                      {"operation", text_schema()},
                                      {"rationale", text_schema()},
                                      {"mechanism", text_schema()},
                                      {"hypothesis", hypothesis},
                                      {"module", text_schema()},
                                      {"config", text_schema()}});
  return object_schema(
      {{"variants", {{"type", "array"}, {"items", variant}}}, {"anti_patterns", texts}, {"questions", texts}});
}

}  // namespace vortex::agent
