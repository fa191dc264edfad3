#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vortex::agent {

struct ServerEvent {
  std::string name;  // of the last `event:` line; empty: a plain message
  std::string data;  // `data:` lines joined by newlines
};

// Reads server-sent events (WHATWG HTML, 9.2) from bytes in pieces of any size. Line ends are LF, CRLF or CR; comments,
// ids and retry times are passed over. An event longer than 8 MiB breaks the stream: `broken()`.
class SseParser {
 public:
  // The events that these bytes complete.
  std::vector<ServerEvent> feed(std::string_view bytes);
  // The event that the stream ended in the middle of. The standard drops it; servers that leave out the blank line
  // behind their last one mean it.
  std::vector<ServerEvent> finish();
  bool broken() const { return broken_; }

 private:
  void end_line(std::vector<ServerEvent>& events);

  std::string line_;
  ServerEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
  bool broken_ = false;
};

}  // namespace vortex::agent
