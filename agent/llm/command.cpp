#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

#include "agent/llm/writer.h"
#include "base/clock.h"
#include "sandbox/process_tree.h"
#include "study/options.h"

extern char** environ;  // NOLINT

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr int kAttempts = 2;
constexpr int kPollMs = 100;
constexpr size_t kMaxReply = size_t{4} << 20;
constexpr size_t kLogTail = 600;  // bytes of what the program said on its standard error

struct Outcome {
  std::string output;
  std::string log;      // the end of its standard error
  std::string failure;  // empty: it ended well
  bool stopped = false;
};

// False at the end of the stream.
bool read_some(int fd, std::string& into) {
  std::array<char, 65536> buffer;
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  if (got > 0) into.append(buffer.data(), static_cast<size_t>(got));
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

// One run of the program, from its start to the end of its whole process tree.
class ProgramRun {
 public:
  ProgramRun(std::unique_ptr<sandbox::ProcessTree> tree, std::string_view input, double deadline,
             const std::function<bool()>& should_stop)
      : tree_(std::move(tree)), unsent_(input), deadline_(deadline), should_stop_(should_stop) {}

  Outcome run() {
    while (outcome_.failure.empty() && !ended_) step();
    tree_->end();
    const auto exit = tree_->wait();
    if (!outcome_.failure.empty()) return std::move(outcome_);
    while (output_open_ && outcome_.output.size() <= kMaxReply) output_open_ = drain_once();
    if (!exit.ok()) {
      outcome_.failure = exit.error().message;
    } else if (WIFSIGNALED(exit->wait_status)) {
      outcome_.failure = "was killed by signal " + std::to_string(WTERMSIG(exit->wait_status));
    } else if (WEXITSTATUS(exit->wait_status) != 0) {
      outcome_.failure = "exited with " + std::to_string(WEXITSTATUS(exit->wait_status));
    }
    return std::move(outcome_);
  }

 private:
  void step() {
    std::array<pollfd, 4> watched = {
        pollfd{output_open_ ? tree_->output() : -1, POLLIN, 0}, pollfd{error_open_ ? tree_->error() : -1, POLLIN, 0},
        pollfd{tree_->exited(), POLLIN, 0}, pollfd{unsent_.empty() ? -1 : tree_->input(), POLLOUT, 0}};
    ::poll(watched.data(), watched.size(), kPollMs);
    if (watched[0].revents != 0) output_open_ = read_some(tree_->output(), outcome_.output);
    if (watched[1].revents != 0) error_open_ = read_some(tree_->error(), outcome_.log);
    if (outcome_.log.size() > 4 * kLogTail) outcome_.log.erase(0, outcome_.log.size() - kLogTail);
    if (watched[3].revents != 0) send_some();
    if (unsent_.empty()) tree_->close_input();
    ended_ = watched[2].revents != 0;
    if (outcome_.output.size() > kMaxReply) outcome_.failure = "wrote more than 4 MiB";
    if (!ended_ && monotonic_seconds() > deadline_) outcome_.failure = "missed its deadline";
    if (!ended_ && should_stop_ && should_stop_()) {
      outcome_.failure = "was stopped";
      outcome_.stopped = true;
    }
  }

  void send_some() {
    const ssize_t sent = ::send(tree_->input(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
    if (sent > 0) unsent_.remove_prefix(static_cast<size_t>(sent));
    // A program need not read what it is told.
    if (sent < 0 && errno != EAGAIN && errno != EINTR) unsent_ = {};
  }

  // After the end of the tree nothing more is written: what is not there now never comes.
  bool drain_once() {
    const size_t before = outcome_.output.size();
    return read_some(tree_->output(), outcome_.output) && outcome_.output.size() > before;
  }

  std::unique_ptr<sandbox::ProcessTree> tree_;
  std::string_view unsent_;
  double deadline_;
  const std::function<bool()>& should_stop_;
  Outcome outcome_;
  bool output_open_ = true;
  bool error_open_ = true;
  bool ended_ = false;
};

std::string input_of(const Ask& ask) {
  json input = {{"version", 1},           {"purpose", ask.purpose},
                {"batch", ask.batch},     {"slot", ask.slot},
                {"draw", ask.draw},       {"round", ask.round},
                {"system", ask.system},   {"prompt", ask.prompt},
                {"context", ask.context}, {"reply_schema", ask.reply_schema}};
  return input.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

// A program that asked a model itself may say what that cost: {"usage": {"input_tokens", "output_tokens", "dollars"}}.
void read_usage(Answer& answer) {
  const json reply = json::parse(answer.text, nullptr, false);
  if (!reply.is_object() || !reply.contains("usage") || !reply["usage"].is_object()) return;
  const auto amount = [&](const char* key) {
    const auto found = reply["usage"].find(key);
    return found != reply["usage"].end() && found->is_number() ? std::max(0.0, found->get<double>()) : 0.0;
  };
  answer.input_tokens = static_cast<int64_t>(std::min(amount("input_tokens"), 1e12));
  answer.output_tokens = static_cast<int64_t>(std::min(amount("output_tokens"), 1e12));
  answer.dollars = amount("dollars");
}

class CommandChannel final : public Channel {
 public:
  CommandChannel(std::string command, double seconds, std::function<bool()> should_stop)
      : command_(std::move(command)), seconds_(seconds), should_stop_(std::move(should_stop)) {}

  Result<std::optional<Answer>> ask(const Ask& ask, CallBook& book) override {
    std::string why;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      VORTEX_ASSIGN(auto open, book.begin(ask, "command", 0, 0));
      if (!open) return std::optional<Answer>{};
      VORTEX_ASSIGN(Outcome outcome, run_once(input_of(ask)));
      Answer answer;
      answer.model = "command";
      answer.finish = outcome.failure.empty() ? "stop" : "cut";
      answer.text = std::move(outcome.output);
      read_usage(answer);
      if (outcome.failure.empty()) {
        VORTEX_TRY(book.answered(std::move(*open), answer));
        return std::optional(std::move(answer));
      }
      why = "the command " + outcome.failure;
      if (!outcome.log.empty()) why += ": " + printable(outcome.log);
      VORTEX_TRY(book.failed(std::move(*open), why, answer));
      if (outcome.stopped) break;
    }
    return environment_error(why, "the command is: " + command_);
  }

 private:
  Result<Outcome> run_once(const std::string& input) {
    sandbox::Launch launch;
    launch.argv = {"/bin/sh", "-c", command_};
    for (char** variable = environ; *variable != nullptr; ++variable) launch.environment.emplace_back(*variable);
    std::error_code ec;
    launch.folder = std::filesystem::current_path(ec).string();
    VORTEX_ASSIGN(std::unique_ptr<sandbox::ProcessTree> tree, sandbox::ProcessTree::start(launch));
    return ProgramRun(std::move(tree), input, monotonic_seconds() + seconds_, should_stop_).run();
  }

  static std::string printable(std::string log) {
    if (log.size() > kLogTail) log.erase(0, log.size() - kLogTail);
    for (char& c : log) {
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = ' ';
    }
    return log;
  }

  std::string command_;
  double seconds_;
  std::function<bool()> should_stop_;
};

}  // namespace

Result<std::unique_ptr<Proposer>> make_command_proposer(const ProposerSetup& setup) {
  if (setup.options == nullptr) return internal_error("this proposer needs options");
  if (setup.options->writer.command.empty()) {
    return candidate_error("which command writes the policies? none was given",
                           "name one with --command; docs/proposers.md says what it gets and gives");
  }
  return make_writer(setup, std::make_unique<CommandChannel>(setup.options->writer.command,
                                                             setup.options->writer.command_seconds, setup.should_stop));
}

}  // namespace vortex::agent
