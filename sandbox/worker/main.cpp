// vortex-worker: climbs the ladder for one job, or generates. Says hello, reads a request from standard input, writes
// events to standard output (job/protocol.h), logs to standard error. Exit code 0 when it came to its end.

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "evals/ladder/build_id.h"
#include "evals/ladder/generate.h"
#include "evals/ladder/ladder.h"
#include "job/generation.h"
#include "job/protocol.h"
#include "sandbox/worker/keep.h"

namespace vortex::sandbox {
namespace {

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) { return false; }
    if (written > 0) { text.remove_prefix(static_cast<size_t>(written)); }
  }
  return true;
}

// Standard output as the channel for events alone: whatever a library prints goes to standard error instead.
int take_standard_output() {
  const int channel = ::dup(STDOUT_FILENO);
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  return channel;
}

// The first message on standard input. Errors: it is none, or the stream ends.
Result<std::string> read_message() {
  job::FrameReader frames;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) { continue; }
    if (got <= 0) { return internal_error("there is no whole request on standard input"); }
    std::string_view bytes(buffer.data(), static_cast<size_t>(got));
    VORTEX_ASSIGN(std::optional<std::string> message, frames.take(bytes));
    if (message) { return *std::move(message); }
  }
}

// Writes events to the channel; deaf once the other end is gone.
class Reporter {
 public:
  explicit Reporter(int channel) : channel_(channel) {}
  void report(const job::Event& event) { heard_ = heard_ && write_all(channel_, job::event_frame(event)); }
  bool heard() const { return heard_; }

 private:
  int channel_;
  bool heard_ = true;
};

void answer(const job::Job& job, Reporter& reporter) {
  evals::LadderEvents events;
  events.on_start = [&](job::Stage stage, double planned) { reporter.report(job::StageStart{stage, planned}); };
  events.on_result = [&](const job::StageResult& result) { reporter.report(result); };
  evals::climb(job, events);
}

void answer(const job::GenerationJob& job, Reporter& reporter) {
  job::GenerationEvents events;
  events.on_token = [&](const job::NewToken& token) { reporter.report(token); };
  events.on_run = [&](const job::GenerationRun& run) { reporter.report(run); };
  const Status status = evals::generate(job, events);
  if (!status.ok()) { reporter.report(job::Refusal{status.error()}); }
}

int work() {
  const int channel = take_standard_output();
  Reporter reporter(channel);
  reporter.report(job::Hello{job::kProtocolVersion, evals::build_id()});
  if (!reporter.heard()) { return exit_code(Blame::kEnvironment); }
  const Result<std::string> message = read_message();
  const Result<job::Request> request = message.ok() ? job::parse_request(*message) : message.error();
  if (!request.ok()) {
    std::fprintf(stderr, "vortex-worker: %s\n", request.error().message.c_str());
    return exit_code(request.error().blame);
  }
  std::visit([&](const auto& asked) { answer(asked, reporter); }, *request);
  return reporter.heard() ? 0 : exit_code(Blame::kEnvironment);
}

}  // namespace
}  // namespace vortex::sandbox

int main(int argc, char** argv) {
  const std::string_view option = argc == 2 ? argv[1] : "";
  if (option == "--keep-weights") { return vortex::sandbox::keep_weights(); }
  if (argc == 1) { return vortex::sandbox::work(); }
  if (option == "--version") {
    std::printf("vortex-worker %s build %s protocol %d\n", VORTEX_VERSION, vortex::evals::build_id().c_str(),
                vortex::job::kProtocolVersion);
    return 0;
  }
  std::fprintf(stderr,
               "usage: vortex-worker [--version]\nReads one job from standard input; started by vortex, as is "
               "vortex-worker --keep-weights.\n");
  return vortex::exit_code(vortex::Blame::kCandidate);
}
