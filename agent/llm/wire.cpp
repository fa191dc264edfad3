#include "agent/llm/wire.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/text.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr std::array kFormats = {&kChatCompletions, &kResponses, &kMessages};
constexpr size_t kMaxMessage = 300;
constexpr int kMaxDepth = 100;

}  // namespace

Result<const WireFormat*> find_wire(std::string_view name) {
  std::vector<std::string> names;
  for (const WireFormat* format : kFormats) {
    if (format->name == name) { return format; }
    names.emplace_back(format->name);
  }
  return candidate_error("unknown API: " + std::string(name), "known: " + join(names, ", "));
}

const json& member_at(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) { return kNull; }
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_at(const json& object, const char* key) {
  const json& member = member_at(object, key);
  return member.is_string() ? member.get<std::string>() : std::string();
}

int64_t count_at(const json& object, const char* key) {
  const json& member = member_at(object, key);
  if (!member.is_number_integer()) { return 0; }
  return std::clamp<int64_t>(member.get<int64_t>(), 0, int64_t{1} << 40);
}

std::string& ReplyParts::call(Place place) {
  Part& part = parts_[place];
  part.is_call = true;
  return part.text;
}

std::string ReplyParts::text() const {
  std::string words;
  std::string calls;
  std::string all;
  int count = 0;
  for (const auto& [place, part] : parts_) {
    if (part.is_call && part.text.empty()) { continue; }
    (part.is_call ? calls : words) += part.text;
    all += part.is_call ? "\n\n```json\n" + part.text + "\n```\n" : part.text;
    count += part.is_call ? 1 : 0;
  }
  if (count == 0) { return words; }
  return count == 1 && words.find_first_not_of(" \t\r\n") == std::string::npos ? calls : all;
}

size_t ReplyParts::size() const {
  size_t size = 0;
  for (const auto& [place, part] : parts_) { size += part.text.size(); }
  return size;
}

Status StreamReader::take(const ServerEvent& event) {
  if (ended_) { return ok_status(); }
  if (event.data == "[DONE]") {
    ended_ = true;
    return ok_status();
  }
  // Events between which a server left out the blank line come as one, a line each.
  std::vector<std::string> pieces = {event.data};
  if (!parse_object(event.data).ok()) { pieces = split_lines(event.data); }
  for (const std::string& piece : pieces) {
    const Result<json> object = parse_object(piece);
    if (!object.ok()) {
      if (piece == "[DONE]") { VORTEX_TRY(take({{}, piece})); }
      continue;
    }
    const json& response = member_at(*object, "response");
    const bool failed = text_at(*object, "type") == "response.failed";
    if (failed || reports_error(*object) || (event.name == "error" && object->size() > 0)) {
      if (complete() && parts_.size() > 0) { continue; }
      return environment_error(error_message_of(failed && response.is_object() ? response.dump() : piece));
    }
    read(*object);
  }
  return ok_status();
}

ChatReply StreamReader::reply() const {
  ChatReply reply = reply_;
  reply.text = parts_.text();
  if (reply.finish.empty() && complete()) { reply.finish = "stop"; }
  return reply;
}

std::string content_text(const json& content) {
  if (content.is_string()) { return content.get<std::string>(); }
  std::string text;
  if (content.is_array()) {
    for (const json& part : content) { text += content_text(part); }
  } else if (content.is_object()) {
    const std::string type = text_at(content, "type");
    if (type != "thinking" && type != "reasoning" && type != "redacted_thinking") {
      text = content_text(member_at(content, "text"));
    }
  }
  return text;
}

std::string arguments_text(const json& arguments) {
  if (arguments.is_string()) { return arguments.get<std::string>(); }
  if (!arguments.is_object() || arguments.empty()) { return {}; }
  return arguments.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool reports_error(const json& object) {
  const json& error = member_at(object, "error");
  return text_at(object, "type") == "error" || (!error.is_null() && !error.empty() && error != "" && error != false);
}

json with_extra(json body, const json& extra) {
  body.update(extra);
  for (const auto& [key, value] : extra.items()) {
    if (value.is_null()) { body.erase(key); }
  }
  return body;
}

Result<json> parse_object(std::string_view bytes) {
  json object = parse_json_to_depth(bytes, kMaxDepth);
  if (!object.is_object()) { return environment_error("the endpoint sent what is no JSON object"); }
  return object;
}

std::string error_message_of(std::string_view body) {
  const Result<json> object = parse_object(body);
  std::string message;
  if (object.ok()) {
    const json& error = member_at(*object, "error");
    message = error.is_string() ? error.get<std::string>() : text_at(error, "message");
    if (message.empty()) { message = text_at(*object, "message"); }
  }
  if (message.empty()) { message = body.substr(0, kMaxMessage); }
  if (message.size() > kMaxMessage) { message.resize(kMaxMessage); }
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) { c = ' '; }
  }
  return message;
}

}  // namespace vortex::agent
