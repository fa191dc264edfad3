// Any bytes from a worker, or to one, end in messages and events or in an error, however they are cut; what is read as
// an event can be written and read again.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "job/protocol.h"

namespace {

using namespace vortex::job;

std::vector<std::string> messages_of(std::string_view stream, size_t piece) {
  FrameReader reader;
  std::vector<std::string> messages;
  for (size_t at = 0; at < stream.size(); at += piece) {
    std::string_view bytes = stream.substr(at, piece);
    for (;;) {
      auto message = reader.take(bytes);
      if (!message.ok()) { return messages; }
      if (!*message) { break; }
      messages.push_back(**message);
    }
  }
  return messages;
}

void read(const std::string& message) {
  const auto event = parse_event(message);
  if (event.ok()) {
    const std::vector<std::string> again = messages_of(event_frame(*event), 4096);
    if (again.size() != 1 || !parse_event(again.front()).ok()) { __builtin_trap(); }
  }
  const auto request = parse_request(message);
  if (request.ok() && messages_of(request_frame(*request), 4096).size() != 1) { __builtin_trap(); }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> messages = messages_of(stream, stream.size() + 1);
  if (messages != messages_of(stream, 1) || messages != messages_of(stream, 13)) { __builtin_trap(); }
  for (const std::string& message : messages) { read(message); }
  read(std::string(stream));  // so that mutations need not keep a length right
  return 0;
}
