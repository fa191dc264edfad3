#include "agent/session/notify.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <vector>

#include "net/http.h"

namespace vortex::agent {
namespace {

constexpr double kDeadline = 30;  // seconds that one delivery may take
constexpr std::array kKinds = {"finished", "interrupted",    "failed",         "stall",
                               "budget",   "breaker-opened", "breaker-closed", "front"};

// Those that end a session come once and are never held back.
bool is_last(const std::string& kind) { return kind == "finished" || kind == "interrupted" || kind == "failed"; }

// Waits for a process, and ends its whole group when it takes too long. Empty: it succeeded.
std::string wait_for(pid_t pid) {
  int status = 0;
  for (double waited = 0; waited < kDeadline; waited += 0.05) {
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "it failed";
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ::kill(-pid, SIGKILL);
  ::waitpid(pid, &status, 0);
  return "it took too long";
}

// Runs a command line with one more variable in its environment; empty when it succeeded.
std::string run_command(const std::string& command, const std::string& variable) {
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  std::string extra = variable;
  environment.push_back(extra.data());
  environment.push_back(nullptr);
  std::string shell = "sh";
  std::string flag = "-c";
  std::string line = command;
  std::array<char*, 4> arguments = {shell.data(), flag.data(), line.data(), nullptr};

  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", 0, 0);
  ::posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);  // stdout holds the search's data
  pid_t pid = 0;
  const int code = ::posix_spawn(&pid, "/bin/sh", &files, &attributes, arguments.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  return code == 0 ? wait_for(pid) : "it cannot be started";
}

}  // namespace

Notifier::Notifier(NotifyOptions options, std::function<double()> clock,
                   std::function<void(const std::string&)> on_message)
    : options_(std::move(options)), clock_(std::move(clock)), on_message_(std::move(on_message)) {
  if (!options_.command.empty() || !options_.webhook.empty()) thread_ = std::thread([this] { deliver_all(); });
}

Notifier::~Notifier() {
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  woken_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Notifier::event(const std::string& kind, const nlohmann::json& detail) {
  if (!thread_.joinable() || std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end()) return;
  const double now = clock_();
  {
    const std::lock_guard guard(mutex_);
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
  std::unique_lock lock(mutex_);
  for (;;) {
    woken_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
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
    if (!failure.empty() && on_message_) on_message_("the --notify command was told of " + text + ", but " + failure);
  }
  if (options_.webhook.empty()) return;
  net::HttpRequest request;
  request.method = "POST";
  request.url = options_.webhook;
  request.headers = {"Content-Type: application/json"};
  request.body = text;
  request.connect_seconds = 10;
  request.total_seconds = kDeadline;
  const net::HttpReply reply = net::http_send_retrying(request, {3, 10, 0.5, 0});
  if (!reply.succeeded() && on_message_) on_message_("the webhook: " + net::describe(request, reply));
}

}  // namespace vortex::agent
