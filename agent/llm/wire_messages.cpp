// Anthropic-style messages.
#include "agent/llm/wire.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

std::vector<std::string> headers(const std::string& key) {
  std::vector<std::string> lines = {"Content-Type: application/json", "anthropic-version: 2023-06-01"};
  if (!key.empty()) { lines.push_back("x-api-key: " + key); }
  return lines;
}

json body(const ChatRequest& request) {
  json body = {{"model", request.model},
               {"max_tokens", request.max_output_tokens},
               {"messages", json::array({{{"role", "user"}, {"content", request.prompt}}})}};
  if (!request.system.empty()) { body["system"] = request.system; }
  if (request.temperature >= 0) { body["temperature"] = request.temperature; }
  if (request.stream) { body["stream"] = true; }
  if (request.output == OutputForm::kSchema) {
    body["output_config"] = {{"format", {{"type", "json_schema"}, {"schema", request.schema}}}};
  }
  if (request.output == OutputForm::kTool) {
    body["tools"] = json::array({{{"name", kReplyTool}, {"input_schema", request.schema}}});
    body["tool_choice"] = {{"type", "tool"}, {"name", kReplyTool}};
  }
  body.update(request.extra);
  return body;
}

std::string finish_of(const std::string& reason) {
  if (reason == "max_tokens" || reason == "model_context_window_exceeded") { return "length"; }
  if (reason == "refusal") { return "refusal"; }
  return reason.empty() ? std::string() : std::string("stop");
}

// Tokens that a cache wrote or held are input, too.
int64_t input_tokens(const json& usage) {
  return count_at(usage, "input_tokens") + count_at(usage, "cache_creation_input_tokens") +
         count_at(usage, "cache_read_input_tokens");
}

Result<ChatReply> read(std::string_view bytes) {
  VORTEX_ASSIGN(const json object, parse_object(bytes));
  if (text_at(object, "type") == "error") { return environment_error(error_message_of(bytes)); }
  const json& content = member_at(object, "content");
  if (!content.is_array()) { return environment_error("the reply has no content"); }
  ChatReply reply;
  for (const json& block : content) {
    if (text_at(block, "type") == "text") { reply.text += text_at(block, "text"); }
    if (text_at(block, "type") == "tool_use") {
      reply.text += member_at(block, "input").dump(-1, ' ', false, json::error_handler_t::replace);
    }
  }
  reply.finish = finish_of(text_at(object, "stop_reason"));
  const json& usage = member_at(object, "usage");
  reply.input_tokens = input_tokens(usage);
  reply.output_tokens = count_at(usage, "output_tokens");
  return reply;
}

class Reader final : public StreamReader {
 public:
  Status take(const ServerEvent& event) override {
    VORTEX_ASSIGN(const json object, parse_object(event.data));
    const std::string type = text_at(object, "type");
    if (type == "error") { return environment_error(error_message_of(event.data)); }
    if (type == "message_start") {
      const json& usage = member_at(member_at(object, "message"), "usage");
      reply_.input_tokens = input_tokens(usage);
      reply_.output_tokens = count_at(usage, "output_tokens");
    }
    if (type == "content_block_delta") {
      const json& delta = member_at(object, "delta");
      reply_.text += text_at(delta, "text");
      reply_.text += text_at(delta, "partial_json");
    }
    if (type == "message_delta") {
      reply_.finish = finish_of(text_at(member_at(object, "delta"), "stop_reason"));
      const int64_t tokens = count_at(member_at(object, "usage"), "output_tokens");
      if (tokens > 0) { reply_.output_tokens = tokens; }
    }
    complete_ = complete_ || type == "message_stop";
    return ok_status();
  }
  bool complete() const override { return complete_; }

 private:
  bool complete_ = false;
};

}  // namespace

const WireFormat kMessages = {"messages", "/messages",
                              headers,    body,
                              read,       []() -> std::unique_ptr<StreamReader> {
                                return std::make_unique<Reader>(); }};

}  // namespace vortex::agent
