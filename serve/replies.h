// What all replies have in common: headers for browsers, the request's own id, and whether the connection stays.
#pragma once

#include <atomic>
#include <string>

#include "serve/connection.h"
#include "serve/metrics.h"
#include "serve/options.h"
#include "serve/refusal.h"

namespace vortex::serve {

inline constexpr const char* kJson = "application/json";

// Makes replies; what it refers to outlives it.
struct Replies {
  const ServerOptions& options;
  const std::atomic<bool>& draining;  // then a reply is its connection's last
  Metrics& metrics;                   // count refusals

  // To a HEAD request without its body.
  Reply to(const Question& question, int status, const std::string& type, std::string body) const;
  Reply refuse(const Question& question, const Refusal& why) const;
  // What browsers ask before they let a page of another origin send its request.
  Reply preflight(const Question& question) const;
  // The head of a stream of events, up to its first byte; `chunked`: with HTTP's chunks around what follows.
  std::string stream_head(const Question& question, bool chunked) const;
};

}  // namespace vortex::serve
