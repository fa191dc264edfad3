#include "agent/session/notify.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "net/http.h"
#include "sandbox/run_program.h"

namespace vortex::agent {
namespace {

constexpr double kDeadline = 30;  // seconds that one delivery may take
constexpr std::array kKinds = {"started", "resumed", "finished",       "interrupted",    "failed",
                               "stall",   "budget",  "breaker-opened", "breaker-closed", "front"};

// Those that end a session come once and are never held back.
bool is_last(const std::string& kind) { return kind == "finished" || kind == "interrupted" || kind == "failed"; }

// Runs a command line with one more variable in its environment; empty when it succeeded. What it says goes to our
// standard error: our standard output holds the search's data.
std::string run_command(const std::string& command, const std::string& variable) {
  sandbox::RunOptions options;
  options.deadline_seconds = kDeadline;
  const auto outcome = sandbox::run_program(sandbox::shell_launch(command, {variable}), {}, options, {});
  if (!outcome.ok()) { return outcome.error().message; }
  std::fputs((outcome->output + outcome->log).c_str(), stderr);
  return outcome->failure.empty() ? "" : "it " + outcome->failure;
}

}  // namespace

Notifier::Notifier(NotifyOptions options, std::function<double()> clock,
                   std::function<void(const std::string&)> on_message)
    : options_(std::move(options)), clock_(std::move(clock)), on_message_(std::move(on_message)) {
  if (!options_.command.empty() || !options_.webhook.empty()) {
    thread_ = std::thread([this] { deliver_all(); });
  }
}

Notifier::~Notifier() {
  {
    const MutexLock guard(mutex_);
    closing_ = true;
  }
  woken_.notify_all();
  if (thread_.joinable()) { thread_.join(); }
}

void Notifier::event(const std::string& kind, const nlohmann::json& detail) {
  if (!thread_.joinable() || std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end()) { return; }
  const double now = clock_();
  {
    const MutexLock guard(mutex_);
    Kind& known = kinds_[kind];
    if (known.sent && !is_last(kind) && now - known.last < options_.pause) {
      ++known.suppressed;
      return;
    }
    waiting_.push_back({{"event", kind}, {"run", options_.run}, {"detail", detail}, {"suppressed", known.suppressed}});
    known = {now, true, 0};
  }
  woken_.notify_all();
}

void Notifier::deliver_all() {
  MutexLock lock(mutex_);
  for (;;) {
    while (!closing_ && waiting_.empty()) { woken_.wait(mutex_); }
    if (waiting_.empty()) { return; }
    const nlohmann::json notice = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    deliver(notice);
    lock.lock();
  }
}

void Notifier::deliver(const nlohmann::json& notice) {
  const std::string text = notice.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (!options_.command.empty()) {
    const std::string failure = run_command(options_.command, "VORTEX_EVENT=" + text);
    if (!failure.empty() && on_message_) {
      on_message_("the --notify command was told of " + text + ", but " + failure);
    }
  }
  if (options_.webhook.empty()) { return; }
  net::HttpRequest request;
  request.method = "POST";
  request.url = options_.webhook;
  request.headers = {"Content-Type: application/json"};
  request.body = text;
  request.connect_seconds = 10;
  request.total_seconds = kDeadline;
  const net::HttpReply reply = net::http_send_retrying(request, {3, 10, 0.5, 0});
  if (!reply.succeeded() && on_message_) { on_message_("the webhook: " + net::describe(request, reply)); }
}

}  // namespace vortex::agent
