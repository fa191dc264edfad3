#include "fetch/download.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "fetch/checksum.h"

namespace vortex::fetch {
namespace {

namespace fs = std::filesystem;

int64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : static_cast<int64_t>(size);
}

void discard(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
}

// The unfinished file; its name has the checksum, so that parts of two versions are never joined.
fs::path part_of(const fs::path& target, const RemoteFile& file) {
  const std::string& checksum = file.sha256.empty() ? file.git_oid : file.sha256;
  return target.string() + "." + checksum.substr(0, 12) + ".part";
}

// One request's bytes on their way into the part.
struct Writing {
  const fs::path& part;
  const RemoteFile& file;
  const DownloadHooks& hooks;
  int64_t have;  // bytes in the part
  int fd = -1;
  std::string fault;        // of the machine: no space, no permission
  bool wrong_part = false;  // the answer does not continue what is there
  bool too_long = false;

  // Opens on the first bytes: a server that ignores the range sends all of it again.
  bool open(const net::HttpReply& reply) {
    if (reply.status == 206) {
      const std::string range(reply.header("content-range"));
      wrong_part = !range.starts_with("bytes " + std::to_string(have) + "-");
      if (wrong_part) { return false; }
    } else {
      have = 0;
    }
    fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (have == 0 ? O_TRUNC : 0), 0644);
    if (fd < 0 || ::lseek(fd, have, SEEK_SET) < 0) { fault = std::strerror(errno); }
    return fault.empty();
  }

  bool write(const net::HttpReply& reply, std::string_view bytes) {
    if (fd < 0 && !open(reply)) { return false; }
    too_long = have + static_cast<int64_t>(bytes.size()) > file.size;
    if (too_long) { return false; }
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) { continue; }
      if (written < 0) {
        fault = std::strerror(errno);
        return false;
      }
      bytes.remove_prefix(static_cast<size_t>(written));
      have += written;
    }
    if (hooks.on_bytes) { hooks.on_bytes(have); }
    return true;
  }

  void close() {
    if (fd < 0) { return; }
    if (::fsync(fd) != 0 && fault.empty()) { fault = std::strerror(errno); }
    ::close(fd);
    fd = -1;
  }
};

Status check_space(const fs::path& folder, int64_t bytes) {
  struct statvfs info = {};
  if (::statvfs(folder.c_str(), &info) != 0) {
    return ok_status();  // it will show
  }
  const auto free = static_cast<int64_t>(info.f_bavail * info.f_frsize);
  if (free >= bytes) { return ok_status(); }
  return environment_error(folder.string() + " has " + std::to_string(free >> 20) + " MiB free; " +
                           std::to_string(bytes >> 20) + " MiB are needed");
}

enum class Step { kWhole, kAgain, kAnew };

// One request. kWhole: all bytes are there, unchecked. kAgain: go on from what is there. kAnew: what is there is wrong.
Result<Step> attempt(net::HttpRequest request, const RemoteFile& file, const fs::path& part, const DownloadHooks& hooks,
                     net::HttpReply& reply) {
  Writing writing{part, file, hooks, size_of(part), -1, {}, false, false};
  if (writing.have > file.size) { return Step::kAnew; }
  if (writing.have == file.size && file.size > 0) { return Step::kWhole; }
  if (writing.have > 0) { request.headers.push_back("Range: bytes=" + std::to_string(writing.have) + "-"); }
  net::HttpHooks http;
  http.should_stop = hooks.should_stop;
  http.on_body = [&](const net::HttpReply& head, std::string_view bytes) { return writing.write(head, bytes); };
  reply = net::http_send(request, http);
  if (reply.succeeded() && file.size == 0) { writing.open(reply); }
  writing.close();
  if (!writing.fault.empty()) { return environment_error("cannot write " + part.string() + ": " + writing.fault); }
  if (writing.wrong_part || writing.too_long || reply.status == 416) { return Step::kAnew; }
  if (reply.succeeded()) { return writing.have == file.size ? Step::kWhole : Step::kAnew; }
  if (net::worth_retrying(reply)) { return Step::kAgain; }
  if (reply.failure == net::HttpFailure::kAborted) { return environment_error("stopped"); }
  if (reply.failure == net::HttpFailure::kNone && reply.status < 500) {
    return candidate_error(net::describe(request, reply), "a gated file needs HF_TOKEN");
  }
  return environment_error(net::describe(request, reply));
}

Status put_in_place(const fs::path& part, const fs::path& target) {
  if (::rename(part.c_str(), target.c_str()) == 0) { return ok_status(); }
  return environment_error("cannot write " + target.string() + ": " + std::strerror(errno));
}

}  // namespace

bool is_whole(const fs::path& path, const RemoteFile& file) {
  std::error_code error;
  if (!fs::is_regular_file(path, error) || size_of(path) != file.size) { return false; }
  return file.sha256.empty() ? file_git_oid(path) == file.git_oid : file_sha256(path) == file.sha256;
}

Result<Fetched> download(const net::HttpRequest& request, const RemoteFile& file, const fs::path& folder,
                         const net::RetryPolicy& retries, const DownloadHooks& hooks) {
  if (!is_safe_path(file.path)) { return environment_error("not a path to write to: " + file.path); }
  const fs::path target = folder / file.path;
  if (is_whole(target, file)) { return Fetched::kWasThere; }
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) { return environment_error("cannot make " + target.parent_path().string() + ": " + error.message()); }
  const fs::path part = part_of(target, file);
  VORTEX_TRY(check_space(target.parent_path(), file.size - size_of(part)));

  net::Backoff backoff(retries.seed, retries.first_pause);
  int fruitless = 0;  // attempts in a row that brought nothing new
  int anew = 0;       // times that everything was thrown away
  while (true) {
    const int64_t before = size_of(part);
    net::HttpReply reply;
    VORTEX_ASSIGN(Step step, attempt(request, file, part, hooks, reply));
    if (step == Step::kWhole) {
      if (is_whole(part, file)) {
        VORTEX_TRY(put_in_place(part, target));
        return Fetched::kDownloaded;
      }
      step = Step::kAnew;
    }
    if (step == Step::kAnew) {
      discard(part);
      if (++anew > 1) {
        return environment_error(file.path + " came twice with other contents than the hub's listing says",
                                 "a proxy or a mirror may be at fault; HF_ENDPOINT names another one");
      }
      continue;
    }
    fruitless = size_of(part) > before ? 0 : fruitless + 1;
    const std::optional<double> asked = net::retry_after_seconds(reply);
    if (fruitless >= retries.attempts || asked.value_or(0) > retries.longest_wait) {
      return environment_error(net::describe(request, reply), "the same command continues where this one ended");
    }
    if (!net::pause_for(backoff.next(asked), hooks.should_stop)) { return environment_error("stopped"); }
  }
}

}  // namespace vortex::fetch
