#pragma once

#include <filesystem>

#include "study/loaded_run.h"

namespace vortex::cli {

// A candidate as CUDA source that needs no vortex: policy.cu (its generated kernels, and functions that launch them)
// with policy.h; main.cu, a driver that runs it once on random pages; include/, what the kernels share; policy/, the
// pair; README.md, what is claimed and the command that builds it. Gives the module's path.
Result<std::filesystem::path> write_cuda(const study::LoadedRun& run, const study::CandidateHistory& candidate,
                                         bool confirmed, const std::filesystem::path& folder);

}  // namespace vortex::cli
