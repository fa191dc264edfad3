#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "net/http.h"

namespace vortex::testing {

// A server written in Python as a child process for the life of the object. The script prints its port on a line of its
// own, takes what it is to do next at /control, tells its requests at /log, and ends when its standard input does.
class PythonServer {
 public:
  // `script` is a path inside the source tree.
  explicit PythonServer(const std::string& script) {
    int to_child[2];
    int from_child[2];
    EXPECT_EQ(::pipe2(to_child, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(from_child, O_CLOEXEC), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(to_child[0], STDIN_FILENO);
      ::dup2(from_child[1], STDOUT_FILENO);
      const std::string path = std::string(VORTEX_SOURCE_DIR) + "/" + script;
      ::execlp("python3", "python3", path.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(to_child[0]);
    ::close(from_child[1]);
    stdin_ = to_child[1];
    std::string line;
    for (char c = 0; ::read(from_child[0], &c, 1) == 1 && c != '\n';) { line += c; }
    ::close(from_child[0]);
    EXPECT_FALSE(line.empty()) << script << " did not start";
    url_ = "http://127.0.0.1:" + line;
  }
  ~PythonServer() {
    ::close(stdin_);
    ::waitpid(child_, nullptr, 0);
  }
  PythonServer(const PythonServer&) = delete;
  PythonServer& operator=(const PythonServer&) = delete;

  const std::string& url() const { return url_; }

  nlohmann::json log() const {
    net::HttpRequest request;
    request.url = url_ + "/log";
    return nlohmann::json::parse(net::http_send(request).body);
  }

 protected:
  void control(const nlohmann::json& what) const {
    net::HttpRequest request;
    request.method = "POST";
    request.url = url_ + "/control";
    request.body = what.dump();
    EXPECT_EQ(net::http_send(request).status, 200);
  }

 private:
  pid_t child_ = -1;
  int stdin_ = -1;
  std::string url_;
};

}  // namespace vortex::testing
