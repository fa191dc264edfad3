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
  return with_extra(std::move(body), request.extra);
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

// A block of content, whole or as a stream begins it.
void read_block(const json& block, int64_t place, ReplyParts& parts) {
  if (text_at(block, "type") == "tool_use") {
    parts.call({place, 0}) += arguments_text(member_at(block, "input"));
  } else {
    parts.words({place, 0}) += content_text(block);
  }
}

Result<ChatReply> read(std::string_view bytes) {
  VORTEX_ASSIGN(const json object, parse_object(bytes));
  if (reports_error(object)) { return environment_error(error_message_of(bytes)); }
  const json& content = member_at(object, "content");
  if (!content.is_array() && !content.is_string()) { return environment_error("the reply has no content"); }
  ReplyParts parts;
  int64_t place = 0;
  for (const json& block : content.is_array() ? content : json::array({content})) { read_block(block, place++, parts); }
  ChatReply reply;
  reply.text = parts.text();
  reply.finish = finish_of(text_at(object, "stop_reason"));
  const json& usage = member_at(object, "usage");
  reply.input_tokens = input_tokens(usage);
  reply.output_tokens = count_at(usage, "output_tokens");
  return reply;
}

class Reader final : public StreamReader {
 protected:
  void read(const json& object) override {
    const std::string type = text_at(object, "type");
    const int64_t place = count_at(object, "index");
    if (type == "message_start") {
      const json& usage = member_at(member_at(object, "message"), "usage");
      reply_.input_tokens = input_tokens(usage);
      reply_.output_tokens = count_at(usage, "output_tokens");
    }
    if (type == "content_block_start") { read_block(member_at(object, "content_block"), place, parts_); }
    if (type == "content_block_delta") {
      const json& delta = member_at(object, "delta");
      const std::string arguments = text_at(delta, "partial_json");
      if (!arguments.empty()) { parts_.call({place, 0}) += arguments; }
      const std::string words = content_text(delta);
      if (!words.empty()) { parts_.words({place, 0}) += words; }
    }
    if (type == "message_delta") {
      const std::string finish = finish_of(text_at(member_at(object, "delta"), "stop_reason"));
      if (!finish.empty()) { reply_.finish = finish; }
      const int64_t tokens = count_at(member_at(object, "usage"), "output_tokens");
      if (tokens > 0) { reply_.output_tokens = tokens; }
    }
    ended_ = ended_ || type == "message_stop";
  }
};

}  // namespace

const WireFormat kMessages = {"messages", "/messages",
                              headers,    body,
                              read,       []() -> std::unique_ptr<StreamReader> {
                                return std::make_unique<Reader>(); }};

}  // namespace vortex::agent
