// What the server says of itself, without an engine: its models, whether it is well, what it counted.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <vector>

#include "serve/connection.h"
#include "serve/dispatcher.h"
#include "serve/metrics.h"
#include "serve/replies.h"
#include "serve/served.h"

namespace vortex::serve {

// What it refers to outlives it and its coroutines.
struct About {
  const Served& served;
  const Metrics& metrics;
  Dispatcher& dispatcher;
  boost::asio::io_context& io;
  const std::atomic<bool>& draining;
  const Replies& replies;
  double started;  // seconds since the epoch

  // /v1/models, or of one: /v1/models/NAME, in its segments.
  Reply models(const Question& question, const std::vector<std::string>& path) const;
  Reply counts(const Question& question) const;
  // Well is a server whose engines' thread answers. `question` outlives the coroutine.
  boost::asio::awaitable<Reply> health(const Question& question) const;
};

}  // namespace vortex::serve
