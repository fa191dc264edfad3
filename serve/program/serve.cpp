// vortex-serve: reads a job (job/serving.h) from standard input, serves it until it is told to end, and prints where.
// Exit code 0 when everything that ran came to its end.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <iterator>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "job/serving.h"
#include "serve/engines.h"
#include "serve/server.h"

namespace vortex::serve {
namespace {

constexpr long kLookNanoseconds = 50'000'000;

void log_line(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

int print_error(const Error& error) {
  log_line("error: " + error.message);
  if (!error.hint.empty()) { log_line("hint: " + error.hint); }
  return exit_code(error.blame);
}

sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

// Has a signal come within a moment?
bool was_told_to_end() {
  const sigset_t set = ending_signals();
  const timespec moment = {0, kLookNanoseconds};
  return ::sigtimedwait(&set, nullptr, &moment) > 0;
}

ServerOptions options_of(const job::ServingJob& job) {
  ServerOptions options;
  options.address = job.address;
  options.port = static_cast<uint16_t>(job.port);
  options.allowed_origins = job.allowed_origins;
  options.request_seconds = job.request_seconds;
  if (const char* key = std::getenv("VORTEX_API_KEY")) { options.api_key = key; }
  return options;
}

// Lets what runs come to its end, as long as there is time and no second signal. Gives the requests that are left.
int drain(Server& server, double seconds) {
  server.drain();
  if (server.outstanding() > 0) {
    log_line("ending: " + std::to_string(server.outstanding()) + " requests go on; again to end them too");
  }
  const double deadline = monotonic_seconds() + seconds;
  while (server.outstanding() > 0 && monotonic_seconds() < deadline && !was_told_to_end()) {}
  return server.outstanding();
}

Result<int> run() {
  const std::string text((std::istreambuf_iterator<char>(std::cin)), std::istreambuf_iterator<char>());
  VORTEX_ASSIGN(const job::ServingJob job, job::serving_job_from_json(parse_json(text)));
  VORTEX_ASSIGN(Opened opened, open_engines(job));
  const std::vector<std::string> lanes = opened.served.lanes;
  VORTEX_ASSIGN(const std::unique_ptr<Server> server, Server::start(options_of(job), std::move(opened.served),
                                                                    std::move(opened.lanes), job.batch + job.queue));
  const std::string host = job.address.find(':') == std::string::npos ? job.address : "[" + job.address + "]";
  std::cout << "http://" << host << ":" << server->port() << "/v1" << std::endl;
  std::string names;
  for (const std::string& lane : lanes) { names += (names.empty() ? "" : ", ") + job.model_name + ":" + lane; }
  log_line("serves " + job.model_name + " as " + names + " on " + opened.device +
           "; Ctrl-C ends it when what runs is done");
  while (!was_told_to_end()) {}
  const int left = drain(*server, job.drain_seconds);
  if (left > 0) { log_line("ended " + std::to_string(left) + " requests before their time"); }
  return left > 0 ? exit_code(Blame::kEnvironment) : 0;
}

int main_function() {
  const sigset_t set = ending_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);  // for all threads to come
  std::signal(SIGPIPE, SIG_IGN);
  const Result<int> result = run();
  return result.ok() ? *result : print_error(result.error());
}

}  // namespace
}  // namespace vortex::serve

int main() {
  try {
    return vortex::serve::main_function();
  } catch (const std::exception& error) {
    return vortex::serve::print_error(vortex::internal_error(std::string("unexpected: ") + error.what()));
  }
}
