// Any bytes as the body that an endpoint answers with, in each wire format: events, their chunks of JSON, or a whole
// reply. It is read within limits, and means the same however it is cut. The first byte chooses the format, and whether
// the body is labelled as a stream of events.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/llm/body_sink.h"

namespace {

using namespace vortex::agent;

std::string told(const ChatReply& reply) {
  return reply.finish + "|" + std::to_string(reply.input_tokens) + "|" + std::to_string(reply.output_tokens) + "|" +
         reply.text;
}

// What a body comes to that arrives in pieces of this size.
std::string read_in_pieces(const WireFormat& wire, const char* label, std::string_view body, size_t piece) {
  BodySink sink(wire, [] { return 0.0; });
  for (size_t at = 0; at < body.size(); at += piece) {
    if (!sink.take(label, body.substr(at, piece))) { break; }
  }
  const auto reply = sink.finish(true);
  return reply.ok() ? told(*reply) : "error: " + reply.error().message;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) { return 0; }
  constexpr const WireFormat* kFormats[] = {&kChatCompletions, &kResponses, &kMessages};
  const WireFormat& wire = *kFormats[data[0] % 3];
  const char* label = data[0] & 4 ? "text/event-stream" : "application/json";
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = read_in_pieces(wire, label, body, size);
  if (whole.size() > 8 * size + 1000) { __builtin_trap(); }  // nothing is multiplied
  for (const size_t piece : {size_t{1}, size_t{7}}) {
    if (read_in_pieces(wire, label, body, piece) != whole) { __builtin_trap(); }
  }
  return 0;
}
