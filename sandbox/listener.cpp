#include "sandbox/listener.h"

#include <algorithm>

#include "base/escape.h"

namespace vortex::sandbox {

void Listener::take_output(std::string_view bytes, double now) {
  output_bytes_ += bytes.size();
  if (output_bytes_ > max_output_bytes_) { return fault("more output than the protocol allows"); }
  while (!misbehaved()) {
    auto payload = frames_.take(bytes);
    if (!payload.ok()) {
      if (!said_hello_) { hello_fault_ = payload.error(); }
      return fault(payload.error().message);
    }
    if (!*payload) {
      return;  // the rest of it is still to come
    }
    take_payload(**payload, now);
  }
}

void Listener::take_log(std::string_view bytes) {
  log_ += bytes;
  if (log_.size() > 2 * job::kLogTailBytes) { log_.erase(0, log_.size() - job::kLogTailBytes); }
}

void Listener::take_payload(std::string_view payload, double now) {
  Result<job::Event> event = job::parse_event(payload);
  if (!event.ok()) {
    if (!said_hello_) { hello_fault_ = event.error(); }
    return fault(event.error().message);
  }
  if (const auto* hello = std::get_if<job::Hello>(&*event)) {
    if (said_hello_) { return fault("it said hello twice"); }
    build_ = hello->build;
    said_hello_ = true;
    since_ = now;
  } else if (!said_hello_) {
    fault("it did not say hello first");
  } else if (!finished()) {
    take_event(*std::move(event), now);
  }
}

std::optional<Ending> Listener::overdue(double now) const {
  if (misbehaved()) { return Ending::kProtocol; }
  const double allowed = said_hello_ ? allowance() : options_.start_seconds;
  if (now - since_ <= allowed) { return std::nullopt; }
  return said_hello_ ? silence() : Ending::kSilent;
}

std::string Listener::log_tail() const {
  return terminal_text(std::string_view(log_).substr(log_.size() - std::min(log_.size(), job::kLogTailBytes)));
}

}  // namespace vortex::sandbox
