#include "base/folder_state.h"

#include <sys/stat.h>

#include <system_error>

namespace vortex {

FolderState look_at_folder(const std::filesystem::path& folder) {
  FolderState state;
  std::error_code ec;
  for (std::filesystem::directory_iterator at(folder, ec), end; !ec && at != end; at.increment(ec)) {
    struct stat file = {};
    if (::stat(at->path().c_str(), &file) != 0 || !S_ISREG(file.st_mode)) { continue; }
    state[at->path().filename().string()] = std::to_string(file.st_size) + " " + std::to_string(file.st_mtim.tv_sec) +
                                            "." + std::to_string(file.st_mtim.tv_nsec) + " " +
                                            std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino);
  }
  return state;
}

std::string folder_difference(const FolderState& before, const FolderState& now) {
  for (const auto& [name, state] : before) {
    const auto found = now.find(name);
    if (found == now.end()) { return name + " is gone"; }
    if (found->second != state) { return name + " was changed"; }
  }
  for (const auto& [name, state] : now) {
    if (!before.contains(name)) { return name + " is new"; }
  }
  return {};
}

}  // namespace vortex
