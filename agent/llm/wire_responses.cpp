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
  return with_extra(std::move(body), request.extra);
}

// An item of the output, whole.
void read_item(const json& item, int64_t place, ReplyParts& parts, bool& refused) {
  if (text_at(item, "type") == "function_call") {
    parts.call({place, 0}) = arguments_text(member_at(item, "arguments"));
    return;
  }
  if (text_at(item, "type") == "reasoning") { return; }
  const json& content = member_at(item, "content");
  int64_t at = 0;
  for (const json& part : content.is_array() ? content : json::array({content})) {
    const bool refusal = text_at(part, "type") == "refusal";
    std::string text = refusal ? text_at(part, "refusal") : content_text(part);
    if (!text.empty()) { parts.words({place, at}) = std::move(text); }
    refused = refused || refusal;
    ++at;
  }
}

// All but the text of a response object, from a reply or from the event that ends a stream.
void read_end(const json& response, bool refused, ChatReply& reply) {
  const std::string status = text_at(response, "status");
  const std::string why = text_at(member_at(response, "incomplete_details"), "reason");
  if (status == "completed") { reply.finish = "stop"; }
  if (status == "incomplete") { reply.finish = why == "content_filter" ? "refusal" : "length"; }
  if (refused) { reply.finish = "refusal"; }
  const json& usage = member_at(response, "usage");
  reply.input_tokens = count_at(usage, "input_tokens");
  reply.output_tokens = count_at(usage, "output_tokens");
}

Result<ChatReply> read(std::string_view bytes) {
  VORTEX_ASSIGN(const json response, parse_object(bytes));
  if (reports_error(response)) { return environment_error(error_message_of(bytes)); }
  const json& output = member_at(response, "output");
  ReplyParts parts;
  bool refused = false;
  int64_t place = 0;
  for (const json& item : output.is_array() ? output : json::array()) { read_item(item, place++, parts, refused); }
  ChatReply reply;
  reply.text = parts.text();
  if (reply.text.empty()) { reply.text = content_text(member_at(response, "output_text")); }
  if (!output.is_array() && reply.text.empty()) { return environment_error("the reply has no output"); }
  read_end(response, refused, reply);
  return reply;
}

class Reader final : public StreamReader {
 protected:
  void read(const json& object) override {
    const std::string type = text_at(object, "type");
    const ReplyParts::Place place = {count_at(object, "output_index"), count_at(object, "content_index")};
    if (type == "response.output_text.delta") { parts_.words(place) += text_at(object, "delta"); }
    if (type == "response.refusal.delta") {
      parts_.words(place) += text_at(object, "delta");
      refused_ = true;
    }
    if (type == "response.function_call_arguments.delta") { parts_.call(place) += text_at(object, "delta"); }
    if (type == "response.output_text.done") { finish_part(parts_.words(place), text_at(object, "text")); }
    if (type == "response.function_call_arguments.done") {
      finish_part(parts_.call(place), arguments_text(member_at(object, "arguments")));
    }
    if (type == "response.completed" || type == "response.incomplete") { read_response(member_at(object, "response")); }
  }

 private:
  // A part is whole: what it is altogether counts, and a stream may end here.
  void finish_part(std::string& part, std::string whole) {
    if (!whole.empty()) { part = std::move(whole); }
    may_end_ = may_end_ || !part.empty();
  }

  void read_response(const json& response) {
    const json& output = member_at(response, "output");  // some servers leave it out here
    ReplyParts parts;
    int64_t at = 0;
    for (const json& item : output.is_array() ? output : json::array()) { read_item(item, at++, parts, refused_); }
    if (parts.size() > 0) { parts_ = std::move(parts); }
    read_end(response, refused_, reply_);
    if (reply_.finish.empty()) { reply_.finish = "stop"; }
    ended_ = true;
  }

  bool refused_ = false;
};

}  // namespace

const WireFormat kResponses = {
    "responses", "/responses", headers,
    body,        read,         []() -> std::unique_ptr<StreamReader> {
                                 return std::make_unique<Reader>(); }};

}  // namespace vortex::agent
