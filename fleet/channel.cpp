#include "fleet/channel.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "base/clock.h"

namespace vortex::fleet {
namespace {

constexpr int kMostPort = 65535;
constexpr int kBacklog = 512;
constexpr size_t kReadBytes = 65536;

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressList = std::unique_ptr<addrinfo, FreeAddresses>;

Result<AddressList> look_up(const Address& address, bool passive) {
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = passive ? AI_PASSIVE : 0;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &wanted, &found);
  if (failed != 0 || found == nullptr) {
    return environment_error("cannot find " + address.host + ": " + ::gai_strerror(failed));
  }
  return AddressList(found);
}

// Messages are short and each is waited for; a machine that has vanished is noticed by silence.
void prepare(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Error fault_of(const char* what, const Address& address) {
  return environment_error(std::string("cannot ") + what + " " + to_text(address) + ": " + std::strerror(errno));
}

Result<Descriptor> try_listening(const addrinfo& at, Address& address) {
  Descriptor socket(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  if (socket.get() >= 0) { ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); }
  if (socket.get() < 0 || ::bind(socket.get(), at.ai_addr, at.ai_addrlen) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return fault_of("listen at", address);
  }
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    return fault_of("listen at", address);
  }
  const in_port_t port = own.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(own).sin6_port
                                                   : reinterpret_cast<const sockaddr_in&>(own).sin_port;
  address.port = ntohs(port);
  return socket;
}

Result<Descriptor> try_connecting(const addrinfo& at, const Address& address, double deadline) {
  Descriptor socket(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) { return fault_of("connect to", address); }
  if (::connect(socket.get(), at.ai_addr, at.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) { return fault_of("connect to", address); }
    pollfd watched{socket.get(), POLLOUT, 0};
    const double left = std::max(0.0, deadline - monotonic_seconds());
    if (::poll(&watched, 1, static_cast<int>(1000 * left)) <= 0) {
      errno = ETIMEDOUT;
      return fault_of("connect to", address);
    }
    int failed = 0;
    socklen_t size = sizeof failed;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failed, &size);
    errno = failed;
    if (failed != 0) { return fault_of("connect to", address); }
  }
  prepare(socket.get());
  return socket;
}

}  // namespace

Result<Address> parse_address(const std::string& text) {
  const Error wrong = candidate_error("not an address: " + text, "write HOST:PORT, as in node7:7000");
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) { return wrong; }
  Address address;
  address.host = text.substr(0, colon);
  if (address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + colon + 1, last, address.port);
  if (error != std::errc() || end != last || address.port < 0 || address.port > kMostPort || address.host.empty()) {
    return wrong;
  }
  return address;
}

std::string to_text(const Address& address) {
  const bool brackets = address.host.find(':') != std::string::npos;
  return (brackets ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

Result<Descriptor> listen_at(Address& address) {
  VORTEX_ASSIGN(const AddressList found, look_up(address, true));
  Result<Descriptor> socket = fault_of("listen at", address);
  for (const addrinfo* at = found.get(); at != nullptr && !socket.ok(); at = at->ai_next) {
    socket = try_listening(*at, address);
  }
  return socket;
}

Result<Descriptor> connect_to(const Address& address, double seconds) {
  const double deadline = monotonic_seconds() + seconds;
  VORTEX_ASSIGN(const AddressList found, look_up(address, false));
  Result<Descriptor> socket = fault_of("connect to", address);
  for (const addrinfo* at = found.get(); at != nullptr && !socket.ok(); at = at->ai_next) {
    socket = try_connecting(*at, address, deadline);
  }
  return socket;
}

Descriptor accept_from(int listener) {
  Descriptor socket(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.get() >= 0) { prepare(socket.get()); }
  return socket;
}

Status Channel::flush() {
  while (has_unsent()) {
    const ssize_t got = ::send(socket_.get(), unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL);
    if (got < 0 && errno == EINTR) { continue; }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) { return ok_status(); }
    if (got < 0) { return environment_error(std::string("the connection broke: ") + std::strerror(errno)); }
    sent_ += static_cast<size_t>(got);
  }
  unsent_.clear();
  sent_ = 0;
  return ok_status();
}

Status Channel::receive(size_t most) {
  std::array<char, kReadBytes> buffer;
  for (size_t taken = 0; taken < most;) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), std::min(buffer.size(), most - taken), 0);
    if (got < 0 && errno == EINTR) { continue; }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) { return ok_status(); }
    if (got < 0) { return environment_error(std::string("the connection broke: ") + std::strerror(errno)); }
    if (got == 0) { return environment_error("the other end closed the connection"); }
    taken += static_cast<size_t>(got);
    received_ += static_cast<size_t>(got);
    input_.append(buffer.data(), static_cast<size_t>(got));
  }
  return ok_status();
}

Result<std::optional<Message>> Channel::next() {
  std::string_view rest = std::string_view(input_).substr(taken_);
  VORTEX_ASSIGN(std::optional<std::string> payload, frames_.take(rest));
  taken_ = input_.size() - rest.size();
  if (taken_ == input_.size()) {
    input_.clear();
    taken_ = 0;
  }
  if (!payload) { return std::optional<Message>(); }
  VORTEX_ASSIGN(Message message, parse_message(*std::move(payload)));
  return std::optional<Message>(std::move(message));
}

}  // namespace vortex::fleet
