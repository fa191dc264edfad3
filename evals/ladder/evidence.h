#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "core/engine/engine.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// Who measured what: hashes of model, program and policy, build id, device and its driver, processor, instruction
// set, threads, batch; the kernels that the policy runs, each with the hashes of its source and machine code, its
// registers, stack, shared memory and spills (CUDA).
nlohmann::json evidence_of(const Session& session);

// The same with what the engine did: tokens decoded, layer calls through the policy, pages attended and visible of each
// layer, bytes. A policy that selects pages but was never called is our error: its result would prove nothing.
Result<nlohmann::json> evidence_of(const Session& session, const engine::RunStats& stats);

}  // namespace vortex::evals
