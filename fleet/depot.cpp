#include "fleet/depot.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/descriptor.h"
#include "base/mapped_file.h"
#include "base/sha256.h"

namespace vortex::fleet {
namespace {

namespace fs = std::filesystem;

constexpr auto kLockPause = std::chrono::milliseconds(200);

Error disk_error(const fs::path& path) {
  return environment_error("cannot write " + path.string() + ": " + std::strerror(errno),
                           "name a folder with room for the model with --folder");
}

Result<Descriptor> lock_of(const fs::path& path, const std::function<bool()>& should_stop) {
  Descriptor lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (lock.get() < 0) { return disk_error(path); }
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) { return disk_error(path); }
    if (should_stop()) { return environment_error("stopped on request"); }
    std::this_thread::sleep_for(kLockPause);
  }
  return lock;
}

Status append(int file, const std::string& bytes, const fs::path& path) {
  for (size_t written = 0; written < bytes.size();) {
    const ssize_t got = ::write(file, bytes.data() + written, bytes.size() - written);
    if (got < 0 && errno != EINTR) { return disk_error(path); }
    if (got > 0) { written += static_cast<size_t>(got); }
  }
  return ok_status();
}

// Where a copy of this file is to go on: at its end, unless it is longer than it may be.
int64_t place_to_go_on(int file, const ModelFile& wanted) {
  struct stat about {};
  if (::fstat(file, &about) != 0 || about.st_size > wanted.bytes) { return ::ftruncate(file, 0) == 0 ? 0 : -1; }
  return about.st_size;
}

Status copy_file(const ModelFile& wanted, int number, const fs::path& path, const FetchPiece& fetch,
                 const std::function<bool()>& should_stop) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644));
  int64_t have = file.get() < 0 ? -1 : place_to_go_on(file.get(), wanted);
  if (have < 0) { return disk_error(path); }
  while (have < wanted.bytes) {
    if (should_stop()) { return environment_error("stopped on request"); }
    VORTEX_ASSIGN(const std::string bytes, fetch(number, have));
    have += static_cast<int64_t>(bytes.size());
    if (bytes.empty() || have > wanted.bytes) {
      return environment_error("the search sent " + std::to_string(have) + " bytes of " + wanted.name + " instead of " +
                               std::to_string(wanted.bytes));
    }
    VORTEX_TRY(append(file.get(), bytes, path));
  }
  if (::fsync(file.get()) != 0) { return disk_error(path); }
  if (wanted.bytes == 0) { return ok_status(); }
  VORTEX_ASSIGN(const MappedFile whole, MappedFile::open(path));
  if (sha256_hex(whole.bytes()) == wanted.sha256) { return ok_status(); }
  std::error_code ec;
  fs::remove(path, ec);  // the next try begins anew
  return environment_error(wanted.name + " arrived with other contents than the search has");
}

}  // namespace

Result<std::string> find_model(const Manifest& manifest, const std::string& origin, const std::string& root,
                               const FetchPiece& fetch, const std::function<bool()>& should_stop) {
  const fs::path models = fs::path(root) / "models";
  const std::string hash = manifest.hash();
  std::error_code ec;
  fs::create_directories(models, ec);
  if (ec) { return disk_error(models); }
  VORTEX_ASSIGN(const Descriptor lock, lock_of(models / (hash + ".lock"), should_stop));
  const std::string remembered = (models / (hash + ".seen")).string();
  if (difference_from(manifest, origin, remembered).empty()) { return origin; }
  const fs::path folder = models / hash;
  if (fs::exists(folder, ec) && difference_from(manifest, folder.string(), remembered).empty()) {
    return folder.string();
  }
  fs::remove_all(folder, ec);  // somebody changed it
  const fs::path part = models / (hash + ".part");
  fs::create_directories(part, ec);
  for (size_t i = 0; i < manifest.files.size(); ++i) {
    VORTEX_TRY(copy_file(manifest.files[i], static_cast<int>(i), part / manifest.files[i].name, fetch, should_stop));
  }
  fs::rename(part, folder, ec);
  if (ec) { return disk_error(folder); }
  const std::string difference = difference_from(manifest, folder.string(), remembered);
  if (!difference.empty()) { return environment_error("the copy of the model is not whole: " + difference); }
  return folder.string();
}

}  // namespace vortex::fleet
