#include "httpd/listener.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

namespace vortex::httpd {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using boost::system::error_code;

Status Listener::open(const std::string& address, uint16_t port) {
  error_code failed;
  const auto parsed = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, failed);
  if (failed) { return candidate_error("not an address: " + address, "give an IP address, e.g. 127.0.0.1"); }
  const tcp::endpoint endpoint(parsed, port);
  acceptor_.open(endpoint.protocol(), failed);
  if (!failed) { acceptor_.set_option(asio::socket_base::reuse_address(true), failed); }
  if (!failed) { acceptor_.bind(endpoint, failed); }
  if (!failed) { acceptor_.listen(asio::socket_base::max_listen_connections, failed); }
  if (failed) {
    return environment_error("cannot listen on " + address + ":" + std::to_string(port) + ": " + failed.message(),
                             "choose another --port, or 0 for any that is free");
  }
  port_ = acceptor_.local_endpoint().port();
  return ok_status();
}

void Listener::run(Serve serve) { asio::co_spawn(io_, accept(std::move(serve)), asio::detached); }

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
}

asio::awaitable<void> Listener::accept(Serve serve) {
  while (acceptor_.is_open()) {
    error_code failed;
    tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (!acceptor_.is_open()) { co_return; }
    if (failed) {  // too many open files, say: give them time to close
      asio::steady_timer timer(io_, std::chrono::milliseconds(100));
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, failed));
      continue;
    }
    asio::co_spawn(io_, serve(std::move(socket)), asio::detached);
  }
}

}  // namespace vortex::httpd
