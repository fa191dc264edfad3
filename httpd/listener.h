#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace vortex::httpd {

// Accepts connections on an io_context, which outlives it.
class Listener {
 public:
  // What becomes of a connection; runs on the io_context until the connection is over.
  using Serve = std::function<boost::asio::awaitable<void>(boost::asio::ip::tcp::socket)>;

  explicit Listener(boost::asio::io_context& io) : io_(io), acceptor_(io) {}

  // Listens at an IP address, or at localhost; port 0 is any that is free. Not an address: the candidate's fault; a
  // port that cannot be had: the environment's.
  Status open(const std::string& address, uint16_t port);
  uint16_t port() const { return port_; }

  // Hands every connection from now on to `serve`.
  void run(Serve serve);
  // Takes no more; the port is free again. On the io_context's thread, or while that does not run.
  void close();

 private:
  boost::asio::awaitable<void> accept(Serve serve);

  boost::asio::io_context& io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  uint16_t port_ = 0;
};

}  // namespace vortex::httpd
