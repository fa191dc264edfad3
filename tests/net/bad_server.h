#pragma once

#include <string>
#include <vector>

#include "tests/net/python_server.h"

namespace vortex::testing {

// The hub of bad_server.py. Its log holds the requests so far: {method, path, headers}.
class BadServer : public PythonServer {
 public:
  BadServer() : PythonServer("tests/net/bad_server.py") {}

  // What the next requests of a path meet.
  void behave(const std::string& path, const std::vector<std::string>& script) const {
    control({{"path", path}, {"script", script}});
  }
};

}  // namespace vortex::testing
