#include "agent/llm/body_sink.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace vortex::agent {
namespace {

constexpr size_t kMaxReply = size_t{4} << 20;  // bytes of a reply; no policy is near that long
constexpr double kQuietEnd = 3;                // seconds without an event behind the end of a reply

// Does a body that begins like this hold events? What it is counts, not how it is labelled: content types are missing
// or wrong too often. Nothing: too little has come to tell.
std::optional<bool> holds_events(std::string_view start, bool labelled) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (!start.empty() && start != kByteOrderMark && kByteOrderMark.starts_with(start)) { return std::nullopt; }
  if (start.starts_with(kByteOrderMark)) { start.remove_prefix(kByteOrderMark.size()); }
  start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n"), start.size()));
  if (start.starts_with('{') || start.starts_with('[') || start.starts_with('<')) { return false; }
  if (labelled || start.starts_with(':')) { return start.empty() ? std::nullopt : std::optional(true); }
  for (const std::string_view field : {"data", "event", "id:", "retry:"}) {
    if (start.starts_with(field)) { return true; }
    if (field.starts_with(start)) { return std::nullopt; }
  }
  return false;
}

}  // namespace

bool BodySink::take(std::string_view content_type, std::string_view bytes) {
  size_ += bytes.size();
  too_long_ = size_ > 4 * kMaxReply || reader_->size() > kMaxReply;
  if (too_long_) { return false; }
  if (streamed_ == true) { return take_events(parser_.feed(bytes)); }
  body_.append(bytes);
  if (streamed_ == false) { return true; }
  streamed_ = holds_events(body_, lower_ascii(content_type).find("event-stream") != std::string::npos);
  return streamed_ != true || take_events(parser_.feed(std::exchange(body_, {})));
}

bool BodySink::take_events(const std::vector<ServerEvent>& events) {
  for (const ServerEvent& event : events) {
    if (fault_.ok()) { fault_ = reader_->take(event); }
    last_event_ = clock_();
  }
  return fault_.ok() && !parser_.broken() && !reader_->ended();
}

bool BodySink::waited_enough() const {
  return streamed_ == true && reader_->finished() && clock_() > last_event_ + kQuietEnd;
}

Result<ChatReply> BodySink::finish(bool ended) {
  if (streamed_ == true) {
    take_events(parser_.finish());
    if (!fault_.ok()) { return fault_.error(); }
    if (!reader_->complete()) { return environment_error("the stream ended before the reply did"); }
    return reader_->reply();
  }
  VORTEX_ASSIGN(ChatReply reply, wire_.read(body_));
  if (!ended && reply.finish.empty()) { return environment_error("the reply was cut"); }
  return reply;
}

ChatReply BodySink::partial() const {
  ChatReply reply = reader_->reply();
  if (streamed_ != true) { reply.text = body_; }
  return reply;
}

}  // namespace vortex::agent
