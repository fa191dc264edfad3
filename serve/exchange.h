// The parts of an exchange with one client that HTTP's coroutines share; internal to the server.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "core/engine/session.h"

namespace vortex::serve {

using Question = boost::beast::http::request<boost::beast::http::string_body>;
using Reply = boost::beast::http::response<boost::beast::http::string_body>;

// What the engine's thread says of a choice.
struct Event {
  size_t choice = 0;
  double time = 0;  // on the monotonic clock
  std::variant<engine::LiveStart, std::vector<engine::PromptProb>, engine::LiveToken, Error> what;
};

// Where an exchange hears of its work, and that its client is gone. Of the io thread alone.
struct Channel {
  explicit Channel(boost::asio::io_context& io) : wake(io) {}
  boost::asio::steady_timer wake;  // cancelled whenever there is news
  std::deque<Event> events;
  bool gone = false;      // the client hung up
  bool watched = false;   // between begin_watch() and its end
  bool finished = false;  // it is to end
  bool pong = false;
};

// A connection with the request that is being answered.
struct Connection {
  boost::beast::tcp_stream stream;
  boost::beast::flat_buffer buffer;
  Question question;
};

std::string_view header_of(const Question& question, boost::beast::http::field name);
std::string_view header_of(const Question& question, std::string_view name);

// From now on notices on the socket that the client hangs up. What it sends meanwhile (the next request, ahead of its
// time) is kept in the buffer. Until end_watch() nobody else reads, and the connection stays where it is.
void begin_watch(boost::asio::io_context& io, Connection& connection, std::shared_ptr<Channel> channel);
// Ends that, and waits until it has ended.
boost::asio::awaitable<void> end_watch(Connection& connection, Channel& channel);

// Waits until there is news, at most until `deadline` on the timer's clock.
boost::asio::awaitable<void> wait_for_news(Channel& channel, std::chrono::steady_clock::time_point deadline);

// Sends bytes; false: they cannot be sent.
boost::asio::awaitable<bool> send(Connection& connection, const std::string& bytes);
boost::asio::awaitable<bool> send(Connection& connection, Reply& reply);

}  // namespace vortex::serve
