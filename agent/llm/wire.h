#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
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

// The parts of a reply as they come: words, and arguments of tool calls. A part has a place, by which pieces find it
// and which orders them.
class ReplyParts {
 public:
  using Place = std::pair<int64_t, int64_t>;

  std::string& words(Place place) { return parts_[place].text; }
  std::string& call(Place place);
  // One call alone: its arguments. Otherwise everything in order, calls as fenced JSON.
  std::string text() const;
  size_t size() const;

 private:
  struct Part {
    std::string text;
    bool is_call = false;
  };
  std::map<Place, Part> parts_;
};

// Collects a streamed reply. What is unknown or malformed in a stream is passed over: it costs itself only.
class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // Errors: environment; the endpoint reports a fault before the reply was complete.
  Status take(const ServerEvent& event);
  // Did the stream say why the reply ends? Counts of tokens may still come.
  bool finished() const { return ended_ || !reply_.finish.empty(); }
  // Would it be a whole reply if nothing came any more?
  bool complete() const { return finished() || may_end_; }
  // Did the stream say that nothing comes any more?
  bool ended() const { return ended_; }
  ChatReply reply() const;
  size_t size() const { return parts_.size(); }

 protected:
  virtual void read(const nlohmann::json& object) = 0;

  ChatReply reply_;  // without its text
  ReplyParts parts_;
  bool ended_ = false;
  bool may_end_ = false;
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
// Text as endpoints give it: a string, an object with it as "text", or a list of these. Thoughts are left out.
std::string content_text(const nlohmann::json& content);
// A tool's arguments, which are JSON text for some endpoints and an object for others; nothing: none were given.
std::string arguments_text(const nlohmann::json& arguments);
// Does an object report a fault? "error" is there and says something.
bool reports_error(const nlohmann::json& object);
// The request's body with the user's own members; one that is null takes the member out.
nlohmann::json with_extra(nlohmann::json body, const nlohmann::json& extra);

// Name of the one tool that a reply is given through (OutputForm::kTool), and of the schema (kSchema).
inline constexpr const char* kReplyTool = "submit_policies";

}  // namespace vortex::agent
