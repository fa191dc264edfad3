#pragma once

#include <filesystem>
#include <functional>

#include "base/result.h"
#include "fetch/hub.h"
#include "net/http.h"

namespace vortex::fetch {

struct DownloadHooks {
  std::function<bool()> should_stop;            // polled several times a second
  std::function<void(int64_t bytes)> on_bytes;  // bytes of this file that are there so far
};

enum class Fetched { kDownloaded, kWasThere };

// Brings one file to `folder` / file.path: nothing to do when it is there with the right checksum; else it is written
// to a name ending in .part beside its place, continued from where an earlier attempt ended, checked (size; SHA-256, or
// git's SHA-1), and renamed into place. What is in place is always whole and right. Attempts that bring nothing new are
// repeated `retries.attempts` times; a wrong checksum is answered by one whole new download, then it is an error.
Result<Fetched> download(const net::HttpRequest& request, const RemoteFile& file, const std::filesystem::path& folder,
                         const net::RetryPolicy& retries, const DownloadHooks& hooks);

// Does a file have the size and checksum of `file`?
bool is_whole(const std::filesystem::path& path, const RemoteFile& file);

}  // namespace vortex::fetch
