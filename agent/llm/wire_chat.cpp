// OpenAI-style chat completions: also vLLM, SGLang, llama.cpp, Ollama and most gateways.
#include "agent/llm/wire.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

std::vector<std::string> headers(const std::string& key) {
  std::vector<std::string> lines = {"Content-Type: application/json"};
  if (!key.empty()) { lines.push_back("Authorization: Bearer " + key); }
  return lines;
}

json body(const ChatRequest& request) {
  json messages = json::array();
  if (!request.system.empty()) { messages.push_back({{"role", "system"}, {"content", request.system}}); }
  messages.push_back({{"role", "user"}, {"content", request.prompt}});
  json body = {{"model", request.model}, {"messages", std::move(messages)}, {"max_tokens", request.max_output_tokens}};
  if (request.temperature >= 0) { body["temperature"] = request.temperature; }
  if (request.stream) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  if (request.output == OutputForm::kSchema) {
    body["response_format"] = {{"type", "json_schema"},
                               {"json_schema", {{"name", kReplyTool}, {"strict", true}, {"schema", request.schema}}}};
  }
  if (request.output == OutputForm::kTool) {
    const json function = {{"name", kReplyTool}, {"parameters", request.schema}};
    body["tools"] = json::array({{{"type", "function"}, {"function", function}}});
    body["tool_choice"] = {{"type", "function"}, {"function", {{"name", kReplyTool}}}};
  }
  return with_extra(std::move(body), request.extra);
}

std::string finish_of(const std::string& reason) {
  if (reason == "length" || reason == "max_tokens") { return "length"; }
  if (reason == "content_filter") { return "refusal"; }
  return reason.empty() ? std::string() : std::string("stop");
}

void read_usage(const json& object, ChatReply& reply) {
  const json& usage = member_at(object, "usage");
  if (!usage.is_object()) { return; }
  reply.input_tokens = count_at(usage, "prompt_tokens");
  reply.output_tokens = count_at(usage, "completion_tokens");
}

constexpr ReplyParts::Place kWords = {0, 0};
constexpr int64_t kCalls = 1;

// Puts messages, or pieces of them in a stream, together.
class MessageReader {
 public:
  // A refusal is a member of its own.
  void read(const json& message, ReplyParts& parts) {
    parts.words(kWords) += content_text(member_at(message, "content"));
    const std::string refusal = text_at(message, "refusal");
    refused_ = refused_ || !refusal.empty();
    parts.words(kWords) += refusal;
    for (const json& call : member_at(message, "tool_calls")) { read_call(call, parts); }
    const std::string old_form = arguments_text(member_at(member_at(message, "function_call"), "arguments"));
    if (!old_form.empty()) { parts.call({kCalls, 0}) += old_form; }
  }
  bool refused() const { return refused_; }

 private:
  // Pieces of a call share its index; where servers leave that out, a new id begins a new call.
  void read_call(const json& call, ReplyParts& parts) {
    const std::string id = text_at(call, "id");
    const json& index = member_at(call, "index");
    if (index.is_number_integer()) {
      place_ = count_at(call, "index");
    } else if (place_ < 0 || (!id.empty() && id != id_) || id.empty() != id_.empty()) {
      ++place_;
    }
    if (!id.empty()) { id_ = id; }
    parts.call({kCalls, place_}) += arguments_text(member_at(member_at(call, "function"), "arguments"));
  }

  bool refused_ = false;
  int64_t place_ = -1;
  std::string id_;
};

Result<ChatReply> read(std::string_view bytes) {
  VORTEX_ASSIGN(const json object, parse_object(bytes));
  const json& choices = member_at(object, "choices");
  if (!choices.is_array() || choices.empty()) {
    return environment_error("the reply has no choices: " + error_message_of(bytes));
  }
  ChatReply reply;
  ReplyParts parts;
  MessageReader message;
  message.read(member_at(choices[0], "message"), parts);
  reply.text = parts.text();
  reply.finish = message.refused() ? "refusal" : finish_of(text_at(choices[0], "finish_reason"));
  read_usage(object, reply);
  return reply;
}

class Reader final : public StreamReader {
 protected:
  void read(const json& object) override {
    read_usage(object, reply_);
    const json& choices = member_at(object, "choices");
    if (!choices.is_array() || choices.empty()) { return; }
    const json& delta = member_at(choices[0], "delta");
    if (delta.is_object()) {
      message_.read(delta, parts_);
    } else if (parts_.size() == 0) {
      message_.read(member_at(choices[0], "message"), parts_);  // all at once
    }
    const std::string finish = finish_of(text_at(choices[0], "finish_reason"));
    if (!finish.empty()) { reply_.finish = message_.refused() ? "refusal" : finish; }
  }

 private:
  MessageReader message_;
};

}  // namespace

const WireFormat kChatCompletions = {
    "chat",  "/chat/completions",
    headers, body,
    read,    []() -> std::unique_ptr<StreamReader> { return std::make_unique<Reader>(); }};

}  // namespace vortex::agent
