#pragma once

#include <string>

#include "cli/context.h"
#include "study/digest.h"
#include "study/loaded_run.h"

namespace vortex::cli {

// The search that a verb reads: the one that is named, else the newest with a result; where a newer one has none yet,
// the user is told so on stderr.
Result<study::LoadedRun> chosen_run(const Context& context, const std::string& name);

// The same in short, for who wants its result.
Result<study::Digest> chosen_digest(const Context& context, const std::string& name);

}  // namespace vortex::cli
