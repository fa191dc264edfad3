#include "base/files.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>

#include "base/descriptor.h"

namespace vortex {
namespace {

std::string os_reason() { return std::strerror(errno); }

// Beside `path`, and nobody else's: writers in jails, or on other machines, may have the same process id. The id comes
// first, for db::sweep_unfinished.
std::string temporary_beside(const std::string& path) {
  uint64_t drawn = 0;
  (void)!::getrandom(&drawn, sizeof drawn, 0);
  return path + ".tmp." + std::to_string(::getpid()) + "." + std::to_string(drawn);
}

// Writes all of `bytes` to `fd` and syncs it; false leaves the reason in errno.
bool write_and_sync(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) { continue; }
    if (written < 0) { return false; }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return ::fsync(fd) == 0;
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) { return candidate_error(path.string() + " is a folder, not a file"); }
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) { return candidate_error("cannot read " + path.string() + ": " + os_reason()); }
  // Streams are no help here: what fails in the middle looks like the end to them.
  std::string bytes;
  std::array<char, 1 << 16> piece;
  for (;;) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) { continue; }
    if (got < 0) { return environment_error("reading " + path.string() + " failed: " + os_reason()); }
    if (got == 0) { return bytes; }
    bytes.append(piece.data(), static_cast<size_t>(got));
  }
}

Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes) {
  const std::string temporary = temporary_beside(path.string());
  const auto create = [&] { return ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644); };
  int fd = create();
  if (fd < 0 && errno == ENOENT && path.has_parent_path()) {
    std::error_code ec;
    std::filesystem::create_directories(path.parent_path(), ec);
    fd = create();
  }
  if (fd < 0) { return environment_error("cannot write " + temporary + ": " + os_reason()); }
  const bool written = write_and_sync(fd, bytes);
  const std::string reason = written ? "" : os_reason();
  ::close(fd);
  if (!written || ::rename(temporary.c_str(), path.c_str()) != 0) {
    const std::string why = written ? os_reason() : reason;
    ::unlink(temporary.c_str());
    return environment_error("cannot write " + path.string() + ": " + why);
  }
  return ok_status();
}

}  // namespace vortex
