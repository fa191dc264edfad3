#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace vortex::fetch {

// A hub that speaks the API of huggingface.co.
struct Hub {
  std::string endpoint = "https://huggingface.co";
  std::string token;  // sent to the endpoint's own host alone, never logged; empty: none
};

enum class RepoKind { kModel, kData };

struct RemoteFile {
  std::string path;     // within the repository, with '/'
  int64_t size = 0;     // bytes
  std::string sha256;   // of files in large-file storage; else empty, and
  std::string git_oid;  // the SHA-1 that git knows the file by
};

struct Listing {
  std::string commit;  // what the revision was resolved to: all files are of this commit
  std::vector<RemoteFile> files;
};

// All files of a repository at a revision (branch, tag or commit), in the hub's order. Follows the listing's pages.
// A repository or revision that is not there, or that asks for a token, is the candidate's fault; an answer that makes
// no sense, or a path that would leave the folder it is downloaded to, is the environment's.
Result<Listing> list_files(const Hub& hub, RepoKind kind, const std::string& repo, const std::string& revision,
                           const net::RetryPolicy& retries, const std::function<bool()>& should_stop);

// Where a file of a commit is downloaded from, and the headers to send along.
net::HttpRequest file_request(const Hub& hub, RepoKind kind, const std::string& repo, const std::string& commit,
                              const std::string& path);

// A repository as people name it: OWNER/NAME, or the address of its page,
// ENDPOINT/[datasets/]OWNER/NAME[/tree/REVISION].
struct NamedRepo {
  std::string repo;      // OWNER/NAME; not checked (is_safe_path)
  std::string revision;  // empty: none is named
  bool data = false;     // it says that it is a data set
};
NamedRepo named_repo(const std::string& endpoint, std::string_view text);

// Is a path of a listing safe to create below a folder? Relative, no "..", no control characters.
bool is_safe_path(const std::string& path);

}  // namespace vortex::fetch
