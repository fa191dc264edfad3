#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vortex {

// The whole file as bytes. A missing or unreadable file is the candidate's fault: somebody named it.
Result<std::string> read_file(const std::filesystem::path& path);

// Writes `bytes` to a temporary name beside `path`, syncs it and renames it into place: a reader sees the old file or
// the new one, never a part. Creates missing parent folders. Failures (no space, no permission) are the environment's.
Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

}  // namespace vortex
