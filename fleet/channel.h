#pragma once

#include <optional>
#include <string>

#include "base/descriptor.h"
#include "base/result.h"
#include "fleet/message.h"
#include "job/frame.h"

namespace vortex::fleet {

// Where something listens: "10.1.2.3:7000", "node7:7000", "[::1]:7000". Port 0: any that is free.
struct Address {
  std::string host;
  int port = 0;
};
Result<Address> parse_address(const std::string& text);
std::string to_text(const Address& address);

// A socket that listens there, non-blocking; `address` learns its port. Errors: the environment's.
Result<Descriptor> listen_at(Address& address);
// A connection, non-blocking; gives up after `seconds`. Errors: the environment's.
Result<Descriptor> connect_to(const Address& address, double seconds);
// The next one who dialled; invalid: nobody waits.
Descriptor accept_from(int listener);

// One end of a connection. Not for several threads.
class Channel {
 public:
  explicit Channel(Descriptor socket) : socket_(std::move(socket)) {}

  int socket() const { return socket_.get(); }
  void send(const Message& message) { unsent_ += message_frame(message); }
  bool has_unsent() const { return sent_ < unsent_.size(); }
  // Bytes that came so far.
  size_t received() const { return received_; }

  // Sends what fits now. An Error (environment): the other end is gone.
  Status flush();
  // Takes in what has come, `most` bytes at most. An Error (environment): the other end is gone; what came before may
  // still be read.
  Status receive(size_t most = size_t{1} << 20);
  // The next message; nothing: it is not all there. There is no way on after an Error (internal).
  Result<std::optional<Message>> next();

 private:
  Descriptor socket_;
  std::string unsent_;
  size_t sent_ = 0;
  std::string input_;
  size_t taken_ = 0;
  size_t received_ = 0;
  job::FrameReader frames_;
};

}  // namespace vortex::fleet
