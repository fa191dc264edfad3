#include <algorithm>
#include <functional>

#include "agent/llm/writer.h"
#include "base/escape.h"
#include "base/json.h"
#include "sandbox/run_program.h"
#include "study/options.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr int kAttempts = 2;
constexpr size_t kMaxOutput = size_t{4} << 20;
constexpr size_t kLogTail = 600;  // bytes of what the program said on its standard error

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
  const json reply = parse_json(answer.text);
  if (!reply.is_object() || !reply.contains("usage") || !reply["usage"].is_object()) { return; }
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
      if (!open) { return std::optional<Answer>{}; }
      VORTEX_ASSIGN(sandbox::Outcome outcome, run_once(input_of(ask)));
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
      if (!outcome.log.empty()) {
        why += ": " +
               terminal_line(
                   std::string_view(outcome.log).substr(outcome.log.size() - std::min(outcome.log.size(), kLogTail)));
      }
      VORTEX_TRY(book.failed(std::move(*open), why, answer));
      if (outcome.stopped) { break; }
    }
    return environment_error(why, "the command is: " + command_);
  }

 private:
  Result<sandbox::Outcome> run_once(const std::string& input) {
    sandbox::RunOptions options;
    options.deadline_seconds = seconds_;
    options.output_bytes = kMaxOutput;
    options.log_bytes = kLogTail;
    return sandbox::run_program(sandbox::shell_launch(command_), input, options, should_stop_);
  }

  std::string command_;
  double seconds_;
  std::function<bool()> should_stop_;
};

}  // namespace

Result<std::unique_ptr<Proposer>> make_command_proposer(const ProposerSetup& setup) {
  if (setup.options == nullptr) { return internal_error("this proposer needs options"); }
  if (setup.options->writer.command.empty()) {
    return candidate_error("which command writes the policies? none was given",
                           "name one with --command; docs/proposers.md says what it gets and gives");
  }
  return make_writer(setup, std::make_unique<CommandChannel>(setup.options->writer.command,
                                                             setup.options->writer.command_seconds, setup.should_stop));
}

}  // namespace vortex::agent
