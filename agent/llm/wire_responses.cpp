// OpenAI-style responses.
#include "agent/llm/wire.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

std::vector<std::string> headers(const std::string& key) { return kChatCompletions.headers(key); }

json body(const ChatRequest& request) {
  json body = {{"model", request.model},
               {"input", request.prompt},
               {"max_output_tokens", request.max_output_tokens},
               {"store", false}};
  if (!request.system.empty()) { body["instructions"] = request.system; }
  if (request.temperature >= 0) { body["temperature"] = request.temperature; }
  if (request.stream) { body["stream"] = true; }
  if (request.output == OutputForm::kSchema) {
    body["text"] = {
        {"format", {{"type", "json_schema"}, {"name", kReplyTool}, {"strict", true}, {"schema", request.schema}}}};
  }
  if (request.output == OutputForm::kTool) {
    body["tools"] =
        json::array({{{"type", "function"}, {"name", kReplyTool}, {"parameters", request.schema}, {"strict", true}}});
    body["tool_choice"] = {{"type", "function"}, {"name", kReplyTool}};
  }
  body.update(request.extra);
  return body;
}

// A response object, whole: from a reply, or from the event that ends a stream.
Result<ChatReply> read_response(const json& response) {
  const json& error = member_at(response, "error");
  if (error.is_object()) {
    return environment_error(error_message_of(response.dump(-1, ' ', false, json::error_handler_t::replace)));
  }
  const json& output = member_at(response, "output");
  if (!output.is_array()) { return environment_error("the reply has no output"); }
  ChatReply reply;
  bool refused = false;
  for (const json& item : output) {
    if (text_at(item, "type") == "function_call") { reply.text += text_at(item, "arguments"); }
    for (const json& part : member_at(item, "content")) {
      const bool refusal = text_at(part, "type") == "refusal";
      if (text_at(part, "type") == "output_text") { reply.text += text_at(part, "text"); }
      if (refusal) { reply.text += text_at(part, "refusal"); }
      refused = refused || refusal;
    }
  }
  const std::string status = text_at(response, "status");
  const std::string why = text_at(member_at(response, "incomplete_details"), "reason");
  if (status == "completed") { reply.finish = "stop"; }
  if (status == "incomplete") { reply.finish = why == "content_filter" ? "refusal" : "length"; }
  if (refused) { reply.finish = "refusal"; }
  const json& usage = member_at(response, "usage");
  reply.input_tokens = count_at(usage, "input_tokens");
  reply.output_tokens = count_at(usage, "output_tokens");
  return reply;
}

Result<ChatReply> read(std::string_view bytes) {
  VORTEX_ASSIGN(const json response, parse_object(bytes));
  return read_response(response);
}

class Reader final : public StreamReader {
 public:
  Status take(const ServerEvent& event) override {
    if (event.data == "[DONE]") { return ok_status(); }
    VORTEX_ASSIGN(const json object, parse_object(event.data));
    const std::string type = text_at(object, "type");
    if (type == "error" || type == "response.failed") {
      const json& response = member_at(object, "response");
      const std::string why = text_at(member_at(response, "error"), "message");
      return environment_error(why.empty() ? error_message_of(event.data) : why);
    }
    if (type == "response.output_text.delta" || type == "response.function_call_arguments.delta" ||
        type == "response.refusal.delta") {
      reply_.text += text_at(object, "delta");
    }
    if (type == "response.completed" || type == "response.incomplete") {
      VORTEX_ASSIGN(ChatReply whole, read_response(member_at(object, "response")));
      if (whole.text.empty()) {
        whole.text = std::move(reply_.text);  // some servers leave the output out here
      }
      reply_ = std::move(whole);
      complete_ = true;
    }
    return ok_status();
  }
  bool complete() const override { return complete_; }

 private:
  bool complete_ = false;
};

}  // namespace

const WireFormat kResponses = {
    "responses", "/responses", headers,
    body,        read,         []() -> std::unique_ptr<StreamReader> {
                                 return std::make_unique<Reader>(); }};

}  // namespace vortex::agent
