#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "web/server/runs.h"

namespace vortex::web {

// A request without its transport: what the server has let in.
struct Request {
  std::string method;                        // GET, POST
  std::vector<std::string> path;             // decoded segments behind /api/
  std::map<std::string, std::string> query;  // decoded
  std::string body;
};

struct Response {
  int status = 200;
  std::string body;  // JSON
};

struct ApiOptions {
  std::filesystem::path workspace;
  bool actions = true;               // may anything be written?
  std::string vortex = "vortex {}";  // how this program is called, for commands that people copy
};

// What the dashboard asks (web/openapi.json): reads on connections that cannot write, and a few small writes that a
// running search picks up. Nothing of a request ever becomes a path of a file. Thread-safe.
class Api {
 public:
  explicit Api(ApiOptions options) : options_(std::move(options)), runs_(options_.workspace) {}

  Response handle(const Request& request);
  Runs& runs() { return runs_; }

 private:
  Result<std::string> get(const Request& request);
  Result<std::string> get_of_run(const Request& request);
  Result<std::string> get_of_candidate(const Request& request);
  Result<std::string> post(const Request& request);

  ApiOptions options_;
  Runs runs_;
};

// A whole number above 0; the candidate's error for anything else.
Result<int64_t> number_of(const std::string& text, const std::string& what);

}  // namespace vortex::web
