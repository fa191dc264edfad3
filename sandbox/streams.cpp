#include "sandbox/streams.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace vortex::sandbox {
namespace {

constexpr int kReadPollMs = 100;

// Sends as much of `text` as fits; drops what is sent. False when the other end is gone: nobody need read what he is
// told.
bool send_some(int fd, std::string_view& text) {
  const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  if (sent > 0) { text.remove_prefix(static_cast<size_t>(sent)); }
  return sent >= 0 || errno == EAGAIN || errno == EINTR;
}

// Reads what is there and hands it to `take`: returns the bytes read, 0 at the end of the stream, below 0 for none yet.
ssize_t drain(int fd, const Streams::Take& take) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got > 0) { take(std::string_view(buffer.data(), static_cast<size_t>(got))); }
  return got < 0 && errno != EAGAIN && errno != EINTR ? 0 : got;
}

}  // namespace

bool Streams::exchange() {
  std::array<pollfd, 4> watched = {pollfd{output_open_ ? tree_.output() : -1, POLLIN, 0},
                                   pollfd{log_open_ ? tree_.error() : -1, POLLIN, 0}, pollfd{tree_.exited(), POLLIN, 0},
                                   pollfd{unsent_.empty() ? -1 : tree_.input(), POLLOUT, 0}};
  ::poll(watched.data(), watched.size(), kReadPollMs);
  if (watched[1].revents != 0) { log_open_ = drain(tree_.error(), take_log_) != 0; }
  if (watched[0].revents != 0) { output_open_ = drain(tree_.output(), take_output_) != 0; }
  if (watched[3].revents != 0 && !send_some(tree_.input(), unsent_)) { unsent_ = {}; }
  if (unsent_.empty()) { tree_.close_input(); }
  return watched[2].revents != 0;
}

void Streams::finish(const std::function<bool()>& wanted) {
  while (log_open_ && drain(tree_.error(), take_log_) > 0) {}
  while (output_open_ && wanted() && drain(tree_.output(), take_output_) > 0) {}
}

}  // namespace vortex::sandbox
