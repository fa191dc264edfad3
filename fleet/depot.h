#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "fleet/manifest.h"

namespace vortex::fleet {

// Asks for the bytes of a file of the manifest from an offset on; empty: there are no more.
using FetchPiece = std::function<Result<std::string>(int file, int64_t offset)>;

// A folder on this machine with exactly the manifest's files: `origin`, where the search has it, if that can be read
// here and is the same; else `root`/models/HASH, which is made by asking for what is missing. Processes that need the
// same model at once wait for the first of them; a copy that was cut off goes on where it stopped. Every byte is
// checked against the manifest before anybody uses it. Errors: the environment's, or `fetch`'s.
Result<std::string> find_model(const Manifest& manifest, const std::string& origin, const std::string& root,
                               const FetchPiece& fetch, const std::function<bool()>& should_stop);

}  // namespace vortex::fleet
