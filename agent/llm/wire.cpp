#include "agent/llm/wire.h"

#include <algorithm>
#include <array>

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

Result<json> parse_object(std::string_view bytes) {
  const auto shallow = [](int depth, json::parse_event_t, json&) { return depth <= kMaxDepth; };
  json object = json::parse(bytes.begin(), bytes.end(), shallow, false);
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
