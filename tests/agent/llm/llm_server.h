#pragma once

#include <string>
#include <vector>

#include "tests/net/python_server.h"

namespace vortex::testing {

// Its log holds the requests since the last behave(): {path, headers, body}.
class LlmServer : public PythonServer {
 public:
  LlmServer() : PythonServer("tests/agent/llm/llm_server.py") {}

  std::string base() const { return url() + "/v1"; }

  void behave(const std::vector<std::string>& script, const std::string& reply = "hello there", bool usage = true) {
    control({{"script", script}, {"reply", reply}, {"usage", usage}});
  }
};

}  // namespace vortex::testing
