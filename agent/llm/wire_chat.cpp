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
  body.update(request.extra);
  return body;
}

std::string finish_of(const std::string& reason) {
  if (reason == "length") { return "length"; }
  if (reason == "content_filter") { return "refusal"; }
  return reason.empty() ? std::string() : std::string("stop");
}

void read_usage(const json& object, ChatReply& reply) {
  const json& usage = member_at(object, "usage");
  if (!usage.is_object()) { return; }
  reply.input_tokens = count_at(usage, "prompt_tokens");
  reply.output_tokens = count_at(usage, "completion_tokens");
}

// A message, or a piece of one in a stream. A refusal is its own member.
void read_message(const json& message, ChatReply& reply, bool& refused) {
  reply.text += text_at(message, "content");
  for (const json& call : member_at(message, "tool_calls")) {
    reply.text += text_at(member_at(call, "function"), "arguments");
  }
  const std::string refusal = text_at(message, "refusal");
  refused = refused || !refusal.empty();
  reply.text += refusal;
}

Result<ChatReply> read(std::string_view bytes) {
  VORTEX_ASSIGN(const json object, parse_object(bytes));
  const json& choices = member_at(object, "choices");
  if (!choices.is_array() || choices.empty()) {
    return environment_error("the reply has no choices: " + error_message_of(bytes));
  }
  ChatReply reply;
  bool refused = false;
  read_message(member_at(choices[0], "message"), reply, refused);
  reply.finish = refused ? "refusal" : finish_of(text_at(choices[0], "finish_reason"));
  read_usage(object, reply);
  return reply;
}

class Reader final : public StreamReader {
 public:
  Status take(const ServerEvent& event) override {
    if (event.data == "[DONE]") {
      done_ = true;
      return ok_status();
    }
    VORTEX_ASSIGN(const json object, parse_object(event.data));
    if (object.contains("error")) { return environment_error(error_message_of(event.data)); }
    read_usage(object, reply_);
    const json& choices = member_at(object, "choices");
    if (!choices.is_array() || choices.empty()) { return ok_status(); }
    read_message(member_at(choices[0], "delta"), reply_, refused_);
    const std::string finish = finish_of(text_at(choices[0], "finish_reason"));
    if (!finish.empty()) { reply_.finish = refused_ ? "refusal" : finish; }
    return ok_status();
  }
  // Some servers leave out [DONE]; a finish reason says the same.
  bool complete() const override { return done_ || !reply_.finish.empty(); }

 private:
  bool done_ = false;
  bool refused_ = false;
};

}  // namespace

const WireFormat kChatCompletions = {
    "chat",  "/chat/completions",
    headers, body,
    read,    []() -> std::unique_ptr<StreamReader> { return std::make_unique<Reader>(); }};

}  // namespace vortex::agent
