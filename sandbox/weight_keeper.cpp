#include "sandbox/weight_keeper.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr int kMostFailures = 3;  // in a row

// Which files the model's folder holds, so that a changed one is noticed: names, inodes, sizes, times.
std::string files_of(const std::string& folder) {
  std::vector<std::string> lines;
  std::error_code ec;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ec)) {
    const std::string kind = entry.path().extension().string();
    struct stat info {};
    if ((kind != ".json" && kind != ".safetensors") || ::stat(entry.path().c_str(), &info) != 0) { continue; }
    lines.push_back(entry.path().filename().string() + " " + std::to_string(info.st_ino) + " " +
                    std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_sec) + "." +
                    std::to_string(info.st_mtim.tv_nsec));
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) { text += line + "\n"; }
  return text;
}

// The end of what a process has logged.
std::string logged(const ProcessTree& process) {
  std::array<char, 4096> buffer;
  const ssize_t got = ::read(process.error(), buffer.data(), buffer.size());
  return got > 0 ? "\n" + std::string(buffer.data(), static_cast<size_t>(got)) : std::string();
}

// Several workers may be timed at once: the first stops the keeper, the last lets it go on.
void stand_still(const KeptWeights& kept, int change) {
  static Mutex mutex;
  static std::map<int, int> timed;  // by descriptor
  if (kept.watched.get() < 0) { return; }
  const MutexLock lock(mutex);
  const int count = timed[kept.watched.get()] += change;
  if (count == (change > 0 ? 1 : 0)) {
    ::syscall(SYS_pidfd_send_signal, kept.watched.get(), change > 0 ? SIGSTOP : SIGCONT, nullptr, 0U);
  }
}

}  // namespace

Quiet::Quiet(std::shared_ptr<const KeptWeights> kept) : kept_(std::move(kept)) {
  if (kept_ != nullptr) { stand_still(*kept_, 1); }
}

Quiet::~Quiet() {
  if (kept_ != nullptr) { stand_still(*kept_, -1); }
}

WeightKeeper::WeightKeeper(WeightKeeperOptions options, KeeperRequest request)
    : options_(std::move(options)), request_(std::move(request)) {
  // The keeper works in a folder of its own.
  std::error_code ec;
  for (std::string* path : {&request_.job.model_path, &request_.job.prefix_folder}) {
    if (!path->empty()) { *path = fs::absolute(*path, ec).string(); }
  }
}

WeightKeeper::~WeightKeeper() = default;

std::shared_ptr<const KeptWeights> WeightKeeper::kept(const std::function<bool()>& should_stop) {
  const MutexLock lock(mutex_);
  if (failures_ == kMostFailures) { return nullptr; }
  if (kept_ != nullptr) {
    const bool same = files_of(request_.job.model_path) == files_;
    if (same && lives()) { return kept_; }
    notice(same ? "the keeper of weights has died: starting another"
                : "the model's files have changed: their weights are read again");
  }
  kept_ = nullptr;
  Result<std::shared_ptr<const KeptWeights>> started = start(should_stop);
  if (started.ok()) {
    failures_ = 0;
    return kept_ = std::move(started).value();
  }
  process_ = nullptr;
  if (should_stop && should_stop()) { return nullptr; }
  ++failures_;
  notice("weights are not kept between candidates: " + started.error().message);
  return nullptr;
}

bool WeightKeeper::lives() const {
  pollfd watched{socket_.get(), POLLIN, 0};  // a keeper that has answered says nothing more until it ends
  return process_ != nullptr && ::poll(&watched, 1, 0) == 0;
}

Result<std::shared_ptr<const KeptWeights>> WeightKeeper::start(const std::function<bool()>& should_stop) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return environment_error(std::string("cannot make a socket: ") + std::strerror(errno));
  }
  socket_ = Descriptor(ends[0]);
  Descriptor theirs(ends[1]);
  std::error_code ec;
  fs::create_directories(options_.folder, ec);
  Launch launch;
  launch.argv = {fs::absolute(options_.worker_path, ec).string(), "--keep-weights"};
  launch.environment = options_.environment;
  launch.folder = options_.folder;
  launch.descriptors = {theirs.get()};
  files_ = files_of(request_.job.model_path);
  process_ = nullptr;  // the one before must have given its memory back
  VORTEX_ASSIGN(process_, ProcessTree::start(launch));
  theirs.close();  // so that the keeper's end ends the conversation
  Status sent = send_keeper_request(socket_.get(), request_);
  if (sent.ok()) {
    Result<KeeperAnswer> answer = receive_keeper_answer(socket_.get(), options_.start_seconds, should_stop);
    if (answer.ok()) {
      auto kept = std::make_shared<KeptWeights>();
      kept->label = std::move(answer->label);
      kept->descriptors = std::move(answer->descriptors);
      kept->process = answer->process;
      kept->watched = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, answer->process, 0U)));
      return std::shared_ptr<const KeptWeights>(kept);
    }
    sent = answer.error();
  }
  Error error = sent.error();
  error.message += logged(*process_);
  return error;
}

void WeightKeeper::notice(const std::string& message) const {
  if (options_.on_notice) { options_.on_notice(message); }
}

}  // namespace vortex::sandbox
