#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::sandbox {

// Whom a worker is run as where we are root: nobody, on every system.
inline constexpr uid_t kWorkerUser = 65534;

// A fresh folder, removed with everything in it. As long as this object lives the folder is locked, so that a later
// process can tell the folders of the dead.
class ScratchFolder {
 public:
  // Makes `root`/worker-XXXXXX; sweeps, the first time in this process, what dead processes left in `root`.
  static Result<std::unique_ptr<ScratchFolder>> make(const std::string& root);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  ScratchFolder(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

// Where scratch folders go that belong to no workspace: a folder of this user's among the temporary files.
std::string temporary_scratch_root();

// Removes the scratch folders in `root` that no living process holds; returns how many.
int sweep_scratch(const std::string& root);

// Gives a folder, and every folder below it, from one user to another; those of others stay theirs. Follows no link.
// Only for root.
void give_folder(const std::string& folder, uid_t from, uid_t to);

// The first of these files and folders (with the files directly in them) that `user` could not read, as an explanation;
// empty: all can be read.
std::string first_private(const std::vector<std::string>& paths, uid_t user);

// What a folder's links lead to: files and folders that must be in reach where the folder is.
std::vector<std::string> link_targets(const std::string& folder);

// What a program loads from outside the system's own folders: the folders of its shared libraries and of those of the
// libraries beside it (which it may load by name), and these themselves; and the loader, which the kernel starts in its
// place. Remembered for each program. Thread-safe.
struct LoadedFrom {
  std::string loader;
  std::vector<std::string> places;
};
LoadedFrom loaded_from(const std::string& program);

}  // namespace vortex::sandbox
