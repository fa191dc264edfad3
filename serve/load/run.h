#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "serve/load/plan.h"
#include "serve/load/summary.h"

namespace vortex::load {

// Whom to ask. http alone.
struct Target {
  std::string host;
  std::string port;
  std::string prefix;   // of paths, e.g. "/v1"
  std::string api_key;  // empty: none
  std::string model;
};
// "http://127.0.0.1:8000" and "http://127.0.0.1:8000/v1" are the same.
Result<Target> parse_target(const std::string& url);

struct RunOptions {
  int lowest_token = 0;  // of made-up prompts
  int vocab = 0;
  uint64_t seed = 1;
  double patience = 600;  // seconds that a request may take
};

// Sends every request at its time, whatever became of those before, over a connection of its own, and listens to its
// stream. Answers are of the length that the load says (ignore_eos).
std::vector<Seen> run(const Target& target, const std::vector<LoadRequest>& requests, const RunOptions& options);

// What a stream says so far: feeds on the bytes of server-sent events.
class StreamReader {
 public:
  // `now`: when these bytes came.
  void take(std::string_view bytes, double now, Seen& seen);
  bool done() const { return done_; }  // [DONE] was there

 private:
  void take_line(std::string_view line, double now, Seen& seen);
  std::string pending_;
  bool done_ = false;
};

}  // namespace vortex::load
