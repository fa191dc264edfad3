#include "sandbox/listener.h"

#include <algorithm>

namespace vortex::sandbox {

void Listener::take_output(std::string_view bytes, double now) {
  output_bytes_ += bytes.size();
  if (output_bytes_ > max_output_bytes_) return fault("more output than the protocol allows");
  while (!bytes.empty() && !misbehaved()) {
    const size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (line_.size() > job::kMaxLineBytes) return fault("a line is longer than the protocol allows");
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    take_line(line_, now);
    line_.clear();
  }
}

void Listener::take_log(std::string_view bytes) {
  log_ += bytes;
  if (log_.size() > 2 * job::kLogTailBytes) log_.erase(0, log_.size() - job::kLogTailBytes);
}

void Listener::take_line(std::string_view line, double now) {
  Result<job::Event> event = job::parse_event(line);
  if (!event.ok()) {
    if (!said_hello_) hello_fault_ = event.error();
    return fault(event.error().message);
  }
  if (std::holds_alternative<job::Hello>(*event)) {
    if (said_hello_) return fault("it said hello twice");
    said_hello_ = true;
    since_ = now;
  } else if (!said_hello_) {
    fault("it did not say hello first");
  } else if (!finished()) {
    take_event(*std::move(event), now);
  }
}

std::optional<Ending> Listener::overdue(double now) const {
  if (misbehaved()) return Ending::kProtocol;
  const double allowed = said_hello_ ? allowance() : options_.start_seconds;
  if (now - since_ <= allowed) return std::nullopt;
  return said_hello_ ? silence() : Ending::kSilent;
}

std::string Listener::log_tail() const {
  return job::printable(std::string_view(log_).substr(log_.size() - std::min(log_.size(), job::kLogTailBytes)));
}

}  // namespace vortex::sandbox
