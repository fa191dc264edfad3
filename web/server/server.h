#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace vortex::web {

struct ServerOptions {
  std::filesystem::path workspace;
  std::string address = "127.0.0.1";
  uint16_t port = 7077;              // 0: any that is free
  std::string token;                 // who has it may act, and beyond this machine read; empty: one is made
  bool actions = true;               // may anything be written?
  std::string vortex = "vortex {}";  // how this program is called, for commands that people copy
};

// The dashboard's server: one thread moves all bytes (so that open streams, of which there may be hundreds, keep nobody
// waiting), two threads work answers out, and one reads what a search has written, twice a second.
//
// Reading needs the token only where `address` is not of this machine; acting always needs it. The token is a cookie
// that a visit to /?token=... sets, or an Authorization header. Requests for another Host and writes from another
// Origin are refused.
class Server {
 public:
  // Listens, and serves until it is destroyed. Errors: environment (the port is taken, the workspace is not there).
  static Result<std::unique_ptr<Server>> start(ServerOptions options);
  ~Server();

  uint16_t port() const;
  std::string url() const;  // with the token: what its user opens

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace vortex::web
