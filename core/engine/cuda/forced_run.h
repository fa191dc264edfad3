// Forced decoding on the device (Engine::force_decode).
#pragma once

#include <span>
#include <vector>

#include "core/engine/cuda/runner.h"
#include "core/engine/engine.h"

namespace vortex::engine {

// Forces all requests, which have been checked, through the runner's policy, as many together as it holds. Adds to
// `stats`.
Result<std::vector<Forced>> force_on_device(Runner& runner, std::span<const ForcedRequest> requests,
                                            const ForcedOptions& options, RunStats& stats);

}  // namespace vortex::engine
