#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vortex::serve {

struct ServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 8000;                      // 0: any that is free
  std::string api_key;                       // empty: none is asked for, which is for this machine alone
  std::vector<std::string> allowed_origins;  // of pages in browsers, besides those of this machine; "*": any
  double request_seconds = 0;                // after which a request is given up; 0: never
};

}  // namespace vortex::serve
