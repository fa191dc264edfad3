#include "agent/llm/sse.h"

namespace vortex::agent {
namespace {

constexpr size_t kMaxEvent = size_t{8} << 20;

}  // namespace

std::vector<ServerEvent> SseParser::feed(std::string_view bytes) {
  std::vector<ServerEvent> events;
  for (char c : bytes) {
    if (broken_) { break; }
    const bool skip = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (skip) { continue; }
    if (c == '\n' || c == '\r') {
      end_line(events);
    } else {
      line_.push_back(c);
      broken_ = line_.size() + event_.data.size() > kMaxEvent;
    }
  }
  return events;
}

std::vector<ServerEvent> SseParser::finish() {
  std::vector<ServerEvent> events;
  if (broken_) { return events; }
  end_line(events);
  end_line(events);
  return events;
}

void SseParser::end_line(std::vector<ServerEvent>& events) {
  std::string_view line = line_;
  if (first_line_ && line.substr(0, 3) == "\xef\xbb\xbf") { line.remove_prefix(3); }
  first_line_ = false;
  if (line.empty()) {
    if (has_data_) { events.push_back(std::move(event_)); }
    event_ = {};
    has_data_ = false;
  } else if (line.front() != ':') {
    const size_t colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (!value.empty() && value.front() == ' ') { value.remove_prefix(1); }
    if (field == "event") { event_.name = value; }
    if (field == "data") {
      if (has_data_) { event_.data.push_back('\n'); }
      event_.data.append(value);
      has_data_ = true;
    }
  }
  line_.clear();
}

}  // namespace vortex::agent
