#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent/llm/sse.h"
#include "base/result.h"

namespace vortex::agent {

// How a model is asked to keep to the reply's schema.
enum class OutputForm {
  kText,    // as the prompt says: fenced blocks or JSON
  kSchema,  // the endpoint's JSON-schema output
  kTool,    // a call of one tool whose arguments are the reply
};

// One exchange with a language model, in the terms that all wire formats share.
struct ChatRequest {
  std::string model;
  std::string system;
  std::string prompt;
  int64_t max_output_tokens = 8192;
  double temperature = -1;  // below 0: the endpoint's default
  bool stream = true;
  OutputForm output = OutputForm::kText;
  nlohmann::json schema;                            // of the reply, for kSchema and kTool
  nlohmann::json extra = nlohmann::json::object();  // members put into the body as they are
};

// What one reply said. `finish`: stop (done), length (cut at its limit), refusal, or "" while no end was seen.
struct ChatReply {
  std::string text;  // what was written, or the tool's arguments
  std::string finish;
  int64_t input_tokens = 0;  // 0 where the endpoint does not say
  int64_t output_tokens = 0;
};

// Collects a streamed reply.
class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // Errors: environment; the endpoint reports a fault, or sends what is no event of this format.
  virtual Status take(const ServerEvent& event) = 0;
  // Did the stream say that it is complete?
  virtual bool complete() const = 0;
  const ChatReply& reply() const { return reply_; }

 protected:
  ChatReply reply_;
};

// One way to speak to endpoints. Pure functions of bytes: no socket. A new format is one file with such a record and
// one line in wire.cpp.
struct WireFormat {
  std::string_view name;
  std::string_view path;  // after the base URL
  // Header lines. `key` may be empty: local servers want none.
  std::vector<std::string> (*headers)(const std::string& key);
  nlohmann::json (*body)(const ChatRequest& request);
  // Reads the body of a whole reply. Errors: environment; it is not JSON, or not a reply of this format.
  Result<ChatReply> (*read)(std::string_view body);
  std::unique_ptr<StreamReader> (*make_reader)();
};

extern const WireFormat kChatCompletions;  // "chat": OpenAI-style /chat/completions
extern const WireFormat kResponses;        // "responses": OpenAI-style /responses
extern const WireFormat kMessages;         // "messages": Anthropic-style /messages

// By name; an unknown one is the user's fault.
Result<const WireFormat*> find_wire(std::string_view name);

// Why an endpoint says that it failed: the message in the error objects that all formats use, else the body's first
// words. For people.
std::string error_message_of(std::string_view body);

// Helpers of the formats. Members of the wrong type read as absent.
std::string text_at(const nlohmann::json& object, const char* key);
int64_t count_at(const nlohmann::json& object, const char* key);
const nlohmann::json& member_at(const nlohmann::json& object, const char* key);  // null where it is absent
Result<nlohmann::json> parse_object(std::string_view bytes);

// Name of the one tool that a reply is given through (OutputForm::kTool), and of the schema (kSchema).
inline constexpr const char* kReplyTool = "submit_policies";

}  // namespace vortex::agent
