#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "net/http.h"

namespace vortex::testing {

// llm_server.py as a child process for the life of the object.
class LlmServer {
 public:
  LlmServer() {
    int to_child[2];
    int from_child[2];
    EXPECT_EQ(::pipe2(to_child, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(from_child, O_CLOEXEC), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(to_child[0], STDIN_FILENO);
      ::dup2(from_child[1], STDOUT_FILENO);
      const std::string script = std::string(VORTEX_SOURCE_DIR) + "/tests/agent/llm/llm_server.py";
      ::execlp("python3", "python3", script.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(to_child[0]);
    ::close(from_child[1]);
    stdin_ = to_child[1];
    std::string line;
    for (char c = 0; ::read(from_child[0], &c, 1) == 1 && c != '\n';) line += c;
    ::close(from_child[0]);
    EXPECT_FALSE(line.empty()) << "llm_server.py did not start";
    url_ = "http://127.0.0.1:" + line;
  }
  ~LlmServer() {
    ::close(stdin_);
    ::waitpid(child_, nullptr, 0);
  }
  LlmServer(const LlmServer&) = delete;
  LlmServer& operator=(const LlmServer&) = delete;

  std::string base() const { return url_ + "/v1"; }

  void behave(const std::vector<std::string>& script, const std::string& reply = "hello there", bool usage = true) {
    net::HttpRequest request;
    request.method = "POST";
    request.url = url_ + "/control";
    request.body = nlohmann::json({{"script", script}, {"reply", reply}, {"usage", usage}}).dump();
    EXPECT_EQ(net::http_send(request).status, 200);
  }

  // The requests since the last behave(): {path, headers, body}.
  nlohmann::json log() const {
    net::HttpRequest request;
    request.url = url_ + "/log";
    return nlohmann::json::parse(net::http_send(request).body);
  }

 private:
  pid_t child_ = -1;
  int stdin_ = -1;
  std::string url_;
};

}  // namespace vortex::testing
