// One request for tokens, from its body to the end of its answer.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include "serve/ask.h"
#include "serve/connection.h"
#include "serve/dispatcher.h"
#include "serve/metrics.h"
#include "serve/options.h"
#include "serve/replies.h"
#include "serve/served.h"

namespace vortex::serve {

// What exchanges work with; it outlives their coroutines.
struct ExchangeParts {
  const ServerOptions& options;
  const Served& served;
  boost::asio::io_context& io;     // moves all bytes
  boost::asio::thread_pool& pool;  // makes tokens of prompts
  Dispatcher& dispatcher;          // has the engines make those of answers
  Metrics& metrics;
  const Replies& replies;
  std::atomic<int>& answering;  // exchanges whose answer is not sent yet
};

// Answers the connection's request, whole or as a stream; a client that hangs up takes it from the engine. False: the
// connection is over. The connection outlives the coroutine and stays where it is.
boost::asio::awaitable<bool> run_exchange(const ExchangeParts& parts, Connection& connection, Endpoint endpoint);

}  // namespace vortex::serve
