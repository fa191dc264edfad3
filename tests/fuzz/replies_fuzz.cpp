// Any bytes as the reply of a language model, or as an event stream that brings it: read within the limits that reply.h
// names, whatever is in it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/llm/reply.h"
#include "agent/llm/sse.h"

namespace {

constexpr size_t kMostVariants = 16;
constexpr size_t kMostSource = size_t{64} << 10;

// What events a stream holds must not depend on how it is cut.
std::string events_of(std::string_view stream, size_t piece) {
  vortex::agent::SseParser reader;
  std::string all;
  for (size_t at = 0; at < stream.size(); at += piece) {
    for (const auto& event : reader.feed(stream.substr(at, piece))) { all += event.name + "\n" + event.data + "\n\n"; }
  }
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const vortex::agent::WrittenReply reply = vortex::agent::read_reply(text);
  if (reply.variants.size() > kMostVariants) { __builtin_trap(); }
  for (const vortex::agent::Variant& variant : reply.variants) {
    if (variant.module.size() > kMostSource || variant.config.size() > kMostSource) { __builtin_trap(); }
  }
  if (events_of(text, size + 1) != events_of(text, 1)) { __builtin_trap(); }
  return 0;
}
