#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vortex::load {

// What a client saw of one request. Times are in seconds after the start.
struct Seen {
  double sent = 0;
  std::vector<double> tokens;  // when each piece of text came; the first one ends the time to first token
  double ended = 0;
  int output_tokens = 0;  // as the server counts them
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of these
  std::string failure;    // empty: it came to its end. A stream without its end is none
};

// What is promised to users.
struct Bounds {
  double first = 2.0;     // seconds to the first token
  double between = 0.05;  // seconds a token after it
};

struct Spread {
  double p50 = 0;
  double p95 = 0;
  double p99 = 0;
  double most = 0;
};

struct Summary {
  int ended = 0;
  int failed = 0;
  double seconds = 0;   // from the first request to the last token
  double good = 0;      // share of all requests that were within both bounds
  double requests = 0;  // that ended, a second
  double good_requests = 0;
  double tokens = 0;  // of answers, a second
  double prompt_tokens = 0;
  double cached = 0;  // share of the prompts' tokens that the server had kept
  Spread first;       // seconds to the first token
  Spread between;     // seconds a token after it, of each request
  Spread gaps;        // between two pieces of text, of all requests
  std::vector<std::pair<std::string, int>> failures;
};

// The value that a share of them does not exceed: the smallest one of rank ceil(share * count). 0 of nothing.
double percentile(std::vector<double> values, double share);

Summary summarise(const std::vector<Seen>& seen, const Bounds& bounds);
nlohmann::json to_json(const Summary& summary);
std::string to_text(const Summary& summary, const Bounds& bounds);

}  // namespace vortex::load
