#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace vortex::fetch {

// SHA-256 of a file as 64 lower-case hexadecimal digits; nothing when it cannot be read.
std::optional<std::string> file_sha256(const std::filesystem::path& path);

// The SHA-1 by which git knows a file's contents: of "blob SIZE\0" and the bytes. Nothing when it cannot be read.
std::optional<std::string> file_git_oid(const std::filesystem::path& path);

}  // namespace vortex::fetch
