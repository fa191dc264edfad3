#include "core/model/chat.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/files.h"
#include "base/json.h"

namespace vortex::model {
namespace {

using nlohmann::json;

constexpr const char* kTokenNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
constexpr std::string_view kWhiteSpace = " \t\n\r\v\f";

// A file of a model's folder as JSON; null where there is none.
Result<json> read_object(const std::filesystem::path& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) { return json(); }
  VORTEX_ASSIGN(const std::string text, read_file(path));
  json object = parse_json(text);
  if (!object.is_object()) { return candidate_error(path.string() + " is not a JSON object"); }
  return object;
}

json member(const json& object, const char* key) { return object.is_object() ? object.value(key, json()) : json(); }

// "chat_template" is the text, or a list of named ones.
std::string template_in(const json& config) {
  const json value = member(config, "chat_template");
  if (value.is_string()) { return value.get<std::string>(); }
  for (const json& item : value.is_array() ? value : json::array()) {
    if (member(item, "name") == "default" && member(item, "template").is_string()) {
      return item["template"].get<std::string>();
    }
  }
  return {};
}

Result<std::string> template_source(const std::filesystem::path& folder, const json& config) {
  std::error_code ec;
  if (std::filesystem::exists(folder / "chat_template.jinja", ec)) { return read_file(folder / "chat_template.jinja"); }
  std::string source = template_in(config);
  if (source.empty()) {
    VORTEX_ASSIGN(const json processor, read_object(folder / "chat_template.json"));
    source = template_in(processor);
  }
  if (!source.empty()) { return source; }
  return candidate_error(folder.string() + " has no chat template", "it may be a base model: give it plain text");
}

// A special token is its text, or an object with it.
std::optional<std::string> token_text(const json& token) {
  const json text = token.is_object() ? member(token, "content") : token;
  if (!text.is_string()) { return std::nullopt; }
  return text.get<std::string>();
}

jinja::Value message_value(const ChatMessage& message) {
  return *jinja::make_dict({{"role", message.role}, {"content", message.content}});
}

std::string_view without_trailing_space(std::string_view text) {
  const size_t last = text.find_last_not_of(kWhiteSpace);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

bool opens_thoughts(std::string_view prompt) { return without_trailing_space(prompt).ends_with("<think>"); }

// The longest of the added tokens for control that `text` begins with; `each` calls back with every token's id, text
// and whether it is one for control.
template <typename Each>
std::optional<int> longest_at_start(std::string_view text, const Each& each) {
  std::optional<int> found;
  size_t longest = 0;
  each([&](int64_t id, const json& token) {
    const std::optional<std::string> content = token_text(member(token, "content"));
    if (!content || member(token, "special") != true || content->size() <= longest || !text.starts_with(*content)) {
      return;
    }
    if (id < 0 || id > INT32_MAX) { return; }
    longest = content->size();
    found = static_cast<int>(id);
  });
  return found;
}

std::optional<int> in_decoder(const json& config, std::string_view text) {
  const json tokens = member(config, "added_tokens_decoder");
  return longest_at_start(text, [&](const auto& take) {
    if (!tokens.is_object()) { return; }
    for (const auto& [key, token] : tokens.items()) {
      if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) { continue; }
      take(std::stoll(key), token);
    }
  });
}

std::optional<int> in_tokenizer(const json& tokenizer, std::string_view text) {
  const json tokens = member(tokenizer, "added_tokens");
  return longest_at_start(text, [&](const auto& take) {
    for (const json& token : tokens.is_array() ? tokens : json::array()) {
      const json id = member(token, "id");
      if (id.is_number_integer()) { take(id.get<int64_t>(), token); }
    }
  });
}

}  // namespace

Result<ChatTemplate> ChatTemplate::read(const std::filesystem::path& folder) {
  VORTEX_ASSIGN(const json config, read_object(folder / "tokenizer_config.json"));
  VORTEX_ASSIGN(const json map, read_object(folder / "special_tokens_map.json"));
  VORTEX_ASSIGN(const std::string source, template_source(folder, config));
  Result<jinja::Template> parsed = jinja::Template::parse(source);
  if (!parsed.ok()) {
    return Error{parsed.error().blame, folder.string() + ": " + parsed.error().message,
                 parsed.error().hint.empty() ? "write the prompt's text yourself" : parsed.error().hint};
  }
  ChatTemplate chat;
  chat.template_ = std::move(parsed).value();
  for (const char* name : kTokenNames) {
    std::optional<std::string> token = token_text(member(config, name));
    if (!token) { token = token_text(member(map, name)); }
    if (token) {
      chat.tokens_[name] = *token;
    } else if (!config.is_object() || !config.contains(name)) {
      chat.unknown_.emplace_back(name);
    }
  }
  return chat;
}

Result<ChatPrompt> ChatTemplate::render(const std::vector<ChatMessage>& messages, const ChatOptions& options) const {
  std::vector<jinja::Value> conversation;
  for (const ChatMessage& message : messages) { conversation.push_back(message_value(message)); }
  jinja::Inputs inputs;
  VORTEX_ASSIGN(jinja::Value value, jinja::make_list(std::move(conversation)));
  inputs.variables = {{"messages", std::move(value)},
                      {"tools", jinja::Value(jinja::None{})},
                      {"documents", jinja::Value(jinja::None{})},
                      {"add_generation_prompt", jinja::Value(options.add_generation_prompt)}};
  if (options.thinking) {  // families call it one or the other
    inputs.variables.emplace_back("enable_thinking", jinja::Value(*options.thinking));
    inputs.variables.emplace_back("thinking", jinja::Value(*options.thinking));
  }
  for (const auto& [name, token] : tokens_) { inputs.variables.emplace_back(name, jinja::Value(token)); }
  inputs.unknown = unknown_;
  inputs.date = options.date;
  VORTEX_ASSIGN(jinja::Rendered rendered, template_.render(inputs));
  if (options.thinking == false && options.add_generation_prompt && opens_thoughts(rendered.text)) {
    return candidate_error(
        "this model's chat template begins every answer with <think>: thinking cannot be switched off",
        "leave thinking on");
  }
  return ChatPrompt{std::move(rendered.text), rendered.used_date};
}

std::string ChatTemplate::end_of_turn() const {
  constexpr const char* kAnswer = "the answer ends here";
  ChatOptions options;
  options.add_generation_prompt = false;
  const Result<ChatPrompt> prompt = render({{"user", "a question"}, {"assistant", kAnswer}}, options);
  if (!prompt.ok()) { return {}; }
  const size_t at = prompt->text.rfind(kAnswer);
  return at == std::string::npos ? std::string() : prompt->text.substr(at + std::string_view(kAnswer).size());
}

std::optional<int> read_end_of_turn(const std::filesystem::path& folder) {
  const Result<ChatTemplate> chat = ChatTemplate::read(folder);
  if (!chat.ok()) { return std::nullopt; }
  std::string end = chat->end_of_turn();
  end.erase(0, std::min(end.find_first_not_of(kWhiteSpace), end.size()));
  if (end.empty()) { return std::nullopt; }
  const Result<json> config = read_object(folder / "tokenizer_config.json");
  if (config.ok()) {
    if (const std::optional<int> id = in_decoder(*config, end)) { return id; }
  }
  const Result<json> tokenizer = read_object(folder / "tokenizer.json");
  return tokenizer.ok() ? in_tokenizer(*tokenizer, end) : std::nullopt;
}

}  // namespace vortex::model
