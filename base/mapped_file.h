#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace vortex {

// A file mapped read-only into memory for as long as the object lives. Files that others may shorten meanwhile must not
// be mapped; checkpoints and snapshots are replaced by rename, never rewritten.
class MappedFile {
 public:
  // A missing, unreadable or empty file is the candidate's fault: somebody named it.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::string_view bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::string_view bytes) : bytes_(bytes) {}
  std::string_view bytes_;
};

}  // namespace vortex
