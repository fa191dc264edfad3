// A connection with one client, and where what is done for it hears its news. Of the io thread alone.
// In coroutines results are named before they are used: GCC 12 destroys a temporary twice that lives across a co_await.
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
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "core/engine/session.h"
#include "serve/refusal.h"

namespace vortex::serve {

using Question = boost::beast::http::request<boost::beast::http::string_body>;
using Reply = boost::beast::http::response<boost::beast::http::string_body>;

// A connection with the request that is being answered.
struct Connection {
  boost::beast::tcp_stream stream;
  boost::beast::flat_buffer buffer;
  Question question;
};

std::string_view header_of(const Question& question, boost::beast::http::field name);
std::string_view header_of(const Question& question, std::string_view name);

// What came of waiting for the next request: it, in the connection; or one that cannot be read, and what to say of it;
// or neither, and the connection is over.
struct Received {
  bool whole = false;
  std::optional<Refusal> unreadable;
};
// Reads the next request, asking for its body where the client waits to be asked.
boost::asio::awaitable<Received> receive(Connection& connection);

// Sends bytes; false: they cannot be sent.
boost::asio::awaitable<bool> send(Connection& connection, const std::string& bytes);
// Sends a whole reply; false: the connection is over.
boost::asio::awaitable<bool> send_reply(Connection& connection, Reply& reply);

// What the engine's thread says of a choice.
struct Event {
  size_t choice = 0;
  double time = 0;  // on the monotonic clock
  std::variant<engine::LiveStart, std::vector<engine::PromptProb>, engine::LiveToken, Error> what;
};

// Where an exchange hears of its work, and that its client is gone.
struct Channel {
  explicit Channel(boost::asio::io_context& io) : wake(io) {}
  boost::asio::steady_timer wake;  // cancelled whenever there is news
  std::deque<Event> events;
  bool gone = false;      // the client hung up
  bool watched = false;   // between begin_watch() and its end
  bool finished = false;  // it is to end
  bool pong = false;
};

// Waits until there is news, at most until `deadline` on the timer's clock.
boost::asio::awaitable<void> wait_for_news(Channel& channel, std::chrono::steady_clock::time_point deadline);

// From now on notices on the socket that the client hangs up. What it sends meanwhile (the next request, ahead of its
// time) is kept in the buffer. Until end_watch() nobody else reads, and the connection stays where it is.
void begin_watch(boost::asio::io_context& io, Connection& connection, std::shared_ptr<Channel> channel);
// Ends that, and waits until it has ended.
boost::asio::awaitable<void> end_watch(Connection& connection, Channel& channel);

}  // namespace vortex::serve
