#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "serve/dispatcher.h"
#include "serve/options.h"
#include "serve/served.h"

namespace vortex::serve {

// The HTTP server: one thread moves all bytes and puts answers together, two make tokens of prompts, and the
// dispatcher's runs the engines. A client that goes away takes its requests with it.
class Server {
 public:
  // Listens, and serves until it is destroyed. `most` requests of a lane may be there at a time. Errors: environment
  // (the port is taken), candidate (an address that is not of this machine, without a key).
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Served served, std::vector<Lane> lanes, int most);
  ~Server();

  uint16_t port() const;
  // From now on no connection and no request is taken; what runs goes on.
  void drain();
  int outstanding() const;  // requests that go on, and answers that are not sent yet

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vortex::serve
