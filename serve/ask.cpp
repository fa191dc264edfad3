#include "serve/ask.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "core/model/unicode.h"

namespace vortex::serve {
namespace {

using nlohmann::json;

// The members of a request. The first one that is wrong is kept; a null is as good as none.
class Members {
 public:
  explicit Members(const json& object) : object_(object) {}

  const json* find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  void refuse(const std::string& name, const std::string& message) {
    if (!refusal_) { refusal_ = Refusal{400, message, "invalid_request_error", name, "", 0}; }
  }
  void refuse_unsupported(const char* name, const std::string& what) {
    if (!refusal_) { refusal_ = Refusal{400, what, "invalid_request_error", name, "unsupported_parameter", 0}; }
  }

  void read(const char* name, bool& target) {
    const json* member = find(name);
    if (member == nullptr) { return; }
    if (!member->is_boolean()) { return refuse(name, std::string(name) + " must be true or false"); }
    target = member->get<bool>();
  }

  void read(const char* name, std::string& target) {
    const json* member = find(name);
    if (member == nullptr) { return; }
    if (!member->is_string()) { return refuse(name, std::string(name) + " must be a string"); }
    target = member->get<std::string>();
  }

  void read(const char* name, double& target, double least, double most) {
    const json* member = find(name);
    if (member == nullptr) { return; }
    const double value = member->is_number() ? member->get<double>() : std::nan("");
    if (!(value >= least && value <= most)) {
      return refuse(name, std::string(name) + " must be a number from " + number(least) + " to " + number(most));
    }
    target = value;
  }

  // Whole numbers, also as clients that know doubles alone send them (16.0).
  std::optional<int64_t> integer(const char* name, int64_t least, int64_t most) {
    const json* member = find(name);
    if (member == nullptr) { return std::nullopt; }
    const double value = member->is_number() ? member->get<double>() : std::nan("");
    if (!(value >= static_cast<double>(least) && value <= static_cast<double>(most)) || value != std::floor(value)) {
      refuse(name,
             std::string(name) + " must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
      return std::nullopt;
    }
    return member->is_number_integer() ? member->get<int64_t>() : static_cast<int64_t>(value);
  }

  const std::optional<Refusal>& refusal() const { return refusal_; }

 private:
  static std::string number(double value) { return json(value).dump(); }

  const json& object_;
  std::optional<Refusal> refusal_;
};

constexpr int64_t kMostTokens = 1 << 24;

// A text, or the texts of an array of parts {"type": "text", "text": ...} one after the other.
void read_content(const json& content, const std::string& place, Members& members, std::string& target) {
  if (content.is_null()) { return; }
  if (content.is_string()) { return void(target = content.get<std::string>()); }
  if (!content.is_array()) { return members.refuse(place, place + " must be a string or an array of text parts"); }
  for (const json& part : content) {
    const bool text =
        part.is_object() && part.value("type", json()) == "text" && part.contains("text") && part["text"].is_string();
    if (!text) {
      return members.refuse(place, place +
                                       ": only parts of the type \"text\" are supported; this model sees no images "
                                       "and hears no audio");
    }
    target += part["text"].get<std::string>();
  }
}

void read_message(const json& item, const std::string& place, Members& members, Ask& ask) {
  if (!item.is_object() || !item.contains("role") || !item["role"].is_string()) {
    return members.refuse(place, place + " must be an object with a role");
  }
  model::ChatMessage message;
  message.role = item["role"].get<std::string>();
  if (message.role == "developer") { message.role = "system"; }  // OpenAI's newer name of it
  if (message.role != "system" && message.role != "user" && message.role != "assistant") {
    return members.refuse(place + ".role", place +
                                               ".role must be system, developer, user or assistant; tools are not "
                                               "supported");
  }
  const auto calls = item.find("tool_calls");
  if (calls != item.end() && !calls->is_null() && !calls->empty()) {
    return members.refuse(place + ".tool_calls", "tools are not supported");
  }
  read_content(item.value("content", json()), place + ".content", members, message.content);
  ask.messages.push_back(std::move(message));
}

void read_messages(Members& members, Ask& ask) {
  const json* array = members.find("messages");
  if (array == nullptr || !array->is_array() || array->empty()) {
    return members.refuse("messages", "messages must be an array of at least one message");
  }
  for (size_t i = 0; i < array->size(); ++i) {
    read_message((*array)[i], "messages[" + std::to_string(i) + "]", members, ask);
  }
}

bool is_token(const json& item) {
  return item.is_number_unsigned() && item.get<uint64_t>() <= std::numeric_limits<int32_t>::max();
}

bool read_ids(const json& array, std::vector<PromptText>& prompts) {
  std::vector<int32_t> ids;
  for (const json& item : array) {
    if (!is_token(item)) { return false; }
    ids.push_back(item.get<int32_t>());
  }
  prompts.emplace_back(std::move(ids));
  return !array.empty();
}

// A text, the ids of tokens, or an array of either.
bool read_prompts(const json& prompt, std::vector<PromptText>& prompts) {
  if (prompt.is_string()) {
    prompts.emplace_back(prompt.get<std::string>());
    return true;
  }
  if (!prompt.is_array() || prompt.empty()) { return false; }
  if (prompt[0].is_number()) { return read_ids(prompt, prompts); }
  if (prompt.size() > static_cast<size_t>(kMaxPrompts)) { return false; }
  for (const json& item : prompt) {
    if (item.is_string()) {
      prompts.emplace_back(item.get<std::string>());
    } else if (!item.is_array() || !read_ids(item, prompts)) {
      return false;
    }
  }
  return true;
}

void read_stop(Members& members, Ask& ask) {
  const json* stop = members.find("stop");
  if (stop == nullptr) { return; }
  const json list = stop->is_array() ? *stop : json::array({*stop});
  for (const json& item : list) {
    const bool usable = item.is_string() && !item.get_ref<const std::string&>().empty();
    if (!usable || ask.stop.size() >= static_cast<size_t>(kMaxStops)) {
      return members.refuse("stop", "stop must be a string or an array of at most " + std::to_string(kMaxStops) +
                                        " strings, none of them empty");
    }
    ask.stop.push_back(item.get<std::string>());
  }
}

void read_max_tokens(Members& members, Ask& ask) {
  // With an echo OpenAI's completions may add nothing.
  const int64_t least = ask.echo ? 0 : 1;
  const auto old_name = members.integer("max_tokens", least, kMostTokens);
  const auto new_name = members.integer("max_completion_tokens", least, kMostTokens);
  const auto chosen = new_name ? new_name : old_name;
  if (chosen) { ask.max_tokens = static_cast<int>(*chosen); }
}

void read_log_probs(Members& members, Ask& ask) {
  if (ask.endpoint == Endpoint::kCompletions) {
    const json* wanted = members.find("logprobs");
    if (wanted != nullptr && wanted->is_boolean()) {  // some clients send the chat's spelling
      if (wanted->get<bool>()) { ask.top_log_probs = 1; }
      return;
    }
    const auto count = members.integer("logprobs", 0, kMaxTopLogProbs);
    if (count) { ask.top_log_probs = static_cast<int>(*count); }
    return;
  }
  bool wanted = false;
  members.read("logprobs", wanted);
  const auto count = members.integer("top_logprobs", 0, kMaxTopLogProbs);
  if (count.value_or(0) > 0 && !wanted) { members.refuse("top_logprobs", "top_logprobs needs logprobs to be true"); }
  if (wanted) { ask.top_log_probs = static_cast<int>(count.value_or(0)); }
}

void read_sampling(Members& members, Ask& ask) {
  members.read("temperature", ask.temperature, 0, 2);
  members.read("top_p", ask.top_p, 0, 1);
  if (ask.top_p == 0) { ask.top_p = std::numeric_limits<double>::min(); }  // the most probable token alone
  const auto top_k = members.integer("top_k", -1, kMostTokens);
  if (top_k) { ask.top_k = static_cast<int>(std::max<int64_t>(0, *top_k)); }
  const json* seed = members.find("seed");
  if (seed != nullptr) {
    if (!seed->is_number_integer()) { return members.refuse("seed", "seed must be an integer"); }
    ask.seed = seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
  }
  const auto choices = members.integer("n", 1, kMaxChoices);
  if (choices) { ask.choices = static_cast<int>(*choices); }
  const auto best_of = members.integer("best_of", 1, kMaxChoices);
  if (best_of && *best_of != ask.choices) {
    members.refuse_unsupported("best_of", "best_of is not supported; n gives several answers");
  }
}

void read_stream(Members& members, Ask& ask) {
  members.read("stream", ask.stream);
  const json* options = members.find("stream_options");
  if (options == nullptr) { return; }
  if (!options->is_object()) { return members.refuse("stream_options", "stream_options must be an object"); }
  const auto usage = options->find("include_usage");
  ask.include_usage = ask.stream && usage != options->end() && usage->is_boolean() && usage->get<bool>();
}

// Members that change an answer, and the values at which they do not.
void refuse_uncovered(Members& members) {
  struct Neutral {
    const char* name;
    double value;
  };
  for (const Neutral& neutral : {Neutral{"presence_penalty", 0}, Neutral{"frequency_penalty", 0},
                                 Neutral{"repetition_penalty", 1}, Neutral{"min_p", 0}, Neutral{"length_penalty", 1}}) {
    const json* member = members.find(neutral.name);
    if (member != nullptr && !(member->is_number() && member->get<double>() == neutral.value)) {
      members.refuse_unsupported(neutral.name, std::string(neutral.name) + " is not supported");
    }
  }
  for (const char* name : {"tools", "functions", "logit_bias", "suffix", "guided_json", "guided_regex",
                           "guided_grammar", "guided_choice", "structured_outputs", "audio"}) {
    const json* member = members.find(name);
    const bool is_empty = member == nullptr || (member->is_structured() && member->empty()) ||
                          (member->is_string() && member->get_ref<const std::string&>().empty());
    if (!is_empty) { members.refuse_unsupported(name, std::string(name) + " is not supported"); }
  }
  const json* format = members.find("response_format");
  if (format != nullptr && !(format->is_object() && format->value("type", json()) == "text")) {
    members.refuse_unsupported("response_format", "response_format is not supported but for the type \"text\"");
  }
  const json* modalities = members.find("modalities");
  if (modalities != nullptr && *modalities != json::array({"text"})) {
    members.refuse_unsupported("modalities", "modalities other than text are not supported");
  }
  bool beam_search = false;
  members.read("use_beam_search", beam_search);
  if (beam_search) { members.refuse_unsupported("use_beam_search", "use_beam_search is not supported"); }
}

void read_thinking(Members& members, Ask& ask) {
  const json* arguments = members.find("chat_template_kwargs");
  if (arguments == nullptr) { return; }
  if (!arguments->is_object()) {
    return members.refuse("chat_template_kwargs", "chat_template_kwargs must be an object");
  }
  const auto thinking = arguments->find("enable_thinking");
  if (thinking != arguments->end() && thinking->is_boolean()) { ask.thinking = thinking->get<bool>(); }
}

void read_prompt(Members& members, Ask& ask) {
  if (ask.endpoint == Endpoint::kChat) {
    read_messages(members, ask);
    return read_thinking(members, ask);
  }
  const json* prompt = members.find("prompt");
  if (prompt == nullptr || !read_prompts(*prompt, ask.prompts)) {
    return members.refuse("prompt", "prompt must be a string, an array of token ids, or an array of at most " +
                                        std::to_string(kMaxPrompts) + " of either, none of them empty");
  }
  members.read("echo", ask.echo);
}

}  // namespace

std::variant<Ask, Refusal> parse_ask(Endpoint endpoint, std::string_view body) {
  const json object = parse_json(body);
  if (object.is_discarded() || model::find_invalid_utf8(body)) {
    return Refusal{400, "the body is not valid JSON", "invalid_request_error", "", "", 0};
  }
  if (!object.is_object()) {
    return Refusal{400, "the body must be a JSON object", "invalid_request_error", "", "", 0};
  }
  Ask ask;
  ask.endpoint = endpoint;
  Members members(object);
  members.read("model", ask.model);
  read_prompt(members, ask);
  read_max_tokens(members, ask);
  read_sampling(members, ask);
  read_stop(members, ask);
  read_log_probs(members, ask);
  read_stream(members, ask);
  members.read("ignore_eos", ask.ignore_eos);
  refuse_uncovered(members);
  if (members.refusal()) { return *members.refusal(); }
  return ask;
}

}  // namespace vortex::serve
