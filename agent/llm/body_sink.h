#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/llm/sse.h"
#include "agent/llm/wire.h"
#include "base/result.h"

namespace vortex::agent {

// Takes the body of a 2xx answer as it comes: events are read at once, anything else is kept for the end. Which of the
// two it is, its first bytes say; endpoints label bodies wrongly, or not at all.
class BodySink {
 public:
  // `clock` gives seconds.
  BodySink(const WireFormat& wire, std::function<double()> clock)
      : reader_(wire.make_reader()), wire_(wire), clock_(std::move(clock)) {}

  // False: nothing more is wanted, since the reply is whole, broken or too long.
  bool take(std::string_view content_type, std::string_view bytes);

  bool too_long() const { return too_long_; }
  bool got_any() const { return size_ > 0; }
  size_t size() const { return size_; }  // bytes that have come
  const Status& fault() const { return fault_; }

  // Has nothing come for a while behind what ends a reply? A server that holds the connection open then has said all.
  bool waited_enough() const;

  // The whole reply, if it is there; `ended`: the exchange ended well, so that what has come is all there is. Call
  // once.
  Result<ChatReply> finish(bool ended);
  // What has come of a reply that did not become whole.
  ChatReply partial() const;

 private:
  bool take_events(const std::vector<ServerEvent>& events);

  std::unique_ptr<StreamReader> reader_;
  const WireFormat& wire_;
  std::function<double()> clock_;
  SseParser parser_;
  std::string body_;
  Status fault_ = ok_status();
  size_t size_ = 0;
  double last_event_ = 0;
  std::optional<bool> streamed_;  // nothing: it is not clear yet
  bool too_long_ = false;
};

}  // namespace vortex::agent
