#include "serve/exchange.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

namespace vortex::serve {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

constexpr auto kSendTime = std::chrono::seconds(60);  // for a client that does not read
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

}  // namespace

std::string_view header_of(const Question& question, http::field name) {
  const auto value = question[name];
  return {value.data(), value.size()};
}

std::string_view header_of(const Question& question, std::string_view name) {
  const auto value = question[boost::string_view(name.data(), name.size())];
  return {value.data(), value.size()};
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

asio::awaitable<void> wait_for_news(Channel& channel, std::chrono::steady_clock::time_point deadline) {
  error_code cancelled;
  channel.wake.expires_at(deadline);
  co_await channel.wake.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

asio::awaitable<bool> send(Connection& connection, const std::string& bytes) {
  error_code failed;
  connection.stream.expires_after(kSendTime);
  co_await asio::async_write(connection.stream, asio::buffer(bytes), asio::redirect_error(asio::use_awaitable, failed));
  connection.stream.expires_never();
  co_return !failed;
}

asio::awaitable<bool> send(Connection& connection, Reply& reply) {
  error_code failed;
  connection.stream.expires_after(kSendTime);
  co_await http::async_write(connection.stream, reply, asio::redirect_error(asio::use_awaitable, failed));
  connection.stream.expires_never();
  co_return !failed;
}

}  // namespace vortex::serve
