#include "sandbox/folders.h"

#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "base/text.h"
#include "sandbox/run_program.h"

namespace vortex::sandbox {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "worker-";
constexpr int kDepth = 4;  // of links in a folder of weights

int lock_folder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) { return fd; }
  if (fd >= 0) { ::close(fd); }
  return -1;
}

void sweep_once(const std::string& root) {
  static std::mutex mutex;
  static std::set<std::string> swept;
  const std::lock_guard guard(mutex);
  if (swept.insert(root).second) { sweep_scratch(root); }
}

// Takes over `fd`.
void give_open_folder(int fd, uid_t from, uid_t to) {
  DIR* entries = ::fdopendir(fd);
  if (entries == nullptr) {
    ::close(fd);
    return;
  }
  struct stat about {};
  if (::fstat(fd, &about) == 0 && about.st_uid == from && ::fchown(fd, to, to) != 0) {
    ::closedir(entries);
    return;
  }
  while (const dirent* entry = ::readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)) { continue; }
    const int below = ::openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below >= 0) { give_open_folder(below, from, to); }
  }
  ::closedir(entries);
}

bool can_read(const fs::path& path, uid_t user) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) {
    return true;  // what is not there is told by whoever opens it
  }
  const bool folder = S_ISDIR(about.st_mode);
  const mode_t wanted = folder ? S_IROTH | S_IXOTH : S_IROTH;
  if (about.st_uid == user) { return (about.st_mode & (folder ? S_IRUSR | S_IXUSR : S_IRUSR)) != 0; }
  return (about.st_mode & wanted) == wanted;
}

// The loader of this program, which is that of every program that was built with it; empty for a static one.
std::string own_loader() {
  std::string found;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        if (info->dlpi_addr != ::getauxval(AT_BASE)) { return 0; }
        *static_cast<std::string*>(result) = info->dlpi_name;
        return 1;
      },
      &found);
  return found;
}

// Adds where the libraries are loaded from that a program or a library needs, and where these are links, what they lead
// to: folders outside the system's own. The loader lists them and does not run the program. It is asked by its command
// line: by its environment it would list what the keeper needs, which starts everything here.
void list_libraries(const std::string& loader, const std::string& file, std::set<std::string>& places) {
  Launch launch;
  launch.argv = {loader, "--list", file};
  launch.environment = {"PATH=/usr/bin:/bin"};
  launch.folder = "/";
  RunOptions options;
  options.deadline_seconds = 30;
  const auto outcome = run_program(launch, {}, options, {});
  for (const std::string& line : outcome.ok() ? split_lines(outcome->output) : std::vector<std::string>{}) {
    const size_t start = line.find('/');
    const size_t end = line.find(" (0x");
    if (start == std::string::npos || end == std::string::npos || end < start) { continue; }
    const fs::path library = fs::path(line.substr(start, end - start)).lexically_normal();
    std::error_code ec;
    for (const fs::path& place : {library, fs::canonical(library, ec)}) {
      const std::string folder = place.parent_path().string();
      if (!folder.empty() && !folder.starts_with("/usr/") && !folder.starts_with("/lib")) { places.insert(folder); }
    }
  }
}

}  // namespace

Result<std::unique_ptr<ScratchFolder>> ScratchFolder::make(const std::string& root) {
  std::error_code ec;
  fs::create_directories(root, ec);
  const fs::path absolute = fs::absolute(root, ec);
  sweep_once(absolute.string());
  std::string path = (absolute / (std::string(kPrefix) + "XXXXXX")).string();
  if (::mkdtemp(path.data()) == nullptr) {
    return environment_error("cannot make a scratch folder below " + root + ": " + std::strerror(errno));
  }
  return std::unique_ptr<ScratchFolder>(new ScratchFolder(path, lock_folder(path)));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ec;
  fs::remove_all(path_, ec);
  if (lock_ >= 0) { ::close(lock_); }
}

std::string temporary_scratch_root() {
  return (fs::temp_directory_path() / ("vortex-" + std::to_string(::getuid()))).string();
}

int sweep_scratch(const std::string& root) {
  int swept = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(root, ec)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) { continue; }
    const int lock = lock_folder(entry.path().string());
    if (lock < 0) {
      continue;  // somebody's
    }
    std::error_code failed;
    fs::remove_all(entry.path(), failed);
    ::close(lock);
    if (!failed) { ++swept; }
  }
  return swept;
}

void give_folder(const std::string& folder, uid_t from, uid_t to) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) { give_open_folder(fd, from, to); }
}

std::string first_private(const std::vector<std::string>& paths, uid_t user) {
  for (const std::string& path : paths) {
    if (!can_read(path, user)) { return path + " can be read by its owner alone"; }
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator(path, ec)) {
      if (entry.is_directory(ec)) { continue; }
      if (!can_read(entry.path(), user)) { return entry.path().string() + " can be read by its owner alone"; }
    }
  }
  return {};
}

std::vector<std::string> link_targets(const std::string& folder) {
  std::vector<std::string> targets;
  std::error_code ec;
  for (auto entry = fs::recursive_directory_iterator(folder, ec); entry != fs::recursive_directory_iterator();
       entry.increment(ec)) {
    if (entry.depth() >= kDepth) { entry.disable_recursion_pending(); }
    if (!entry->is_symlink(ec)) { continue; }
    const fs::path target = (entry->path().parent_path() / fs::read_symlink(entry->path(), ec)).lexically_normal();
    targets.push_back(target.string());
  }
  return targets;
}

LoadedFrom loaded_from(const std::string& program) {
  static std::mutex mutex;
  static std::map<std::string, LoadedFrom> known;
  const std::lock_guard guard(mutex);
  if (const auto found = known.find(program); found != known.end()) { return found->second; }
  LoadedFrom loaded{own_loader(), {}};
  if (loaded.loader.empty()) { return known.emplace(program, loaded).first->second; }
  std::set<std::string> places;
  list_libraries(loaded.loader, program, places);
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(fs::path(program).parent_path(), ec)) {
    if (entry.path().extension() != ".so") { continue; }
    places.insert(entry.path().string());
    list_libraries(loaded.loader, entry.path().string(), places);
  }
  loaded.places.assign(places.begin(), places.end());
  return known.emplace(program, loaded).first->second;
}

}  // namespace vortex::sandbox
