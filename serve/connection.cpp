#include "serve/connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

namespace vortex::serve {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr auto kIdle = std::chrono::seconds(60);      // for a request to arrive whole, and between two of them
constexpr auto kSendTime = std::chrono::seconds(60);  // for a client that does not read
constexpr size_t kMostBody = size_t{8} << 20;
constexpr uint32_t kMostHeader = 64U << 10;
constexpr size_t kReadSize = 4096;
constexpr size_t kMostAhead = size_t{64} << 10;  // of a next request

asio::awaitable<void> watch_client(Connection& connection, std::shared_ptr<Channel> channel) {
  while (!channel->finished && connection.buffer.size() < kMostAhead) {
    error_code failed;
    const size_t size = co_await connection.stream.socket().async_read_some(
        connection.buffer.prepare(kReadSize), asio::redirect_error(asio::use_awaitable, failed));
    if (failed) {
      channel->gone = !channel->finished;
      break;
    }
    connection.buffer.commit(size);
  }
  channel->watched = false;
  channel->wake.cancel();
}

// What to say of a request that was not read; nothing where the client is gone.
std::optional<Refusal> why_unreadable(const error_code& failed) {
  if (failed == http::error::body_limit) {
    return refusal(413, "a request may have at most " + std::to_string(kMostBody) + " bytes", "invalid_request_error");
  }
  const bool ours = failed.category() == http::make_error_code(http::error::bad_target).category();
  if (ours && failed != http::error::end_of_stream && failed != http::error::partial_message) {
    return refusal(400, "this is not HTTP that can be read: " + failed.message(), "invalid_request_error");
  }
  return std::nullopt;
}

}  // namespace

std::string_view header_of(const Question& question, http::field name) {
  const auto value = question[name];
  return {value.data(), value.size()};
}

std::string_view header_of(const Question& question, std::string_view name) {
  const auto value = question[boost::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
}

asio::awaitable<Received> receive(Connection& connection) {
  Received received;
  error_code failed;
  http::request_parser<http::string_body> parser;
  parser.body_limit(kMostBody);
  parser.header_limit(kMostHeader);
  connection.stream.expires_after(kIdle);
  co_await http::async_read_header(connection.stream, connection.buffer, parser,
                                   asio::redirect_error(asio::use_awaitable, failed));
  if (!failed && parser.get()[http::field::expect] == "100-continue") {
    const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await send(connection, go_on);
    connection.stream.expires_after(kIdle);
  }
  if (!failed) {
    co_await http::async_read(connection.stream, connection.buffer, parser,
                              asio::redirect_error(asio::use_awaitable, failed));
  }
  connection.stream.expires_never();
  received.whole = !failed;
  if (received.whole) {
    connection.question = parser.release();
  } else {
    received.unreadable = why_unreadable(failed);
  }
  co_return received;
}

asio::awaitable<bool> send(Connection& connection, const std::string& bytes) {
  error_code failed;
  connection.stream.expires_after(kSendTime);
  co_await asio::async_write(connection.stream, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failed));
  connection.stream.expires_never();
  co_return !failed;
}

asio::awaitable<bool> send_reply(Connection& connection, Reply& reply) {
  error_code failed;
  connection.stream.expires_after(kSendTime);
  co_await http::async_write(connection.stream, reply, asio::redirect_error(asio::use_awaitable, failed));
  connection.stream.expires_never();
  co_return !failed && reply.keep_alive();
}

asio::awaitable<void> wait_for_news(Channel& channel, std::chrono::steady_clock::time_point deadline) {
  error_code cancelled;
  channel.wake.expires_at(deadline);
  co_await channel.wake.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

void begin_watch(asio::io_context& io, Connection& connection, std::shared_ptr<Channel> channel) {
  channel->watched = true;
  asio::co_spawn(io, watch_client(connection, std::move(channel)), asio::detached);
}

asio::awaitable<void> end_watch(Connection& connection, Channel& channel) {
  channel.finished = true;
  error_code ignored;
  if (channel.watched) { connection.stream.socket().cancel(ignored); }
  while (channel.watched) { co_await wait_for_news(channel, std::chrono::steady_clock::time_point::max()); }
}

}  // namespace vortex::serve
