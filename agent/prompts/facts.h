#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

#include "agent/propose/proposer.h"
#include "base/result.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::agent {

// What a writer is told, as JSON, from rows of batches before `context.batch` alone (and, for a repair, the refused
// draw of its own slot): the same rows give the same bytes. Measured times are left out where speed is modelled.
//
//   {"batch", "slot", "draw", "mode", "variants", "task", "model", "seeds", "dense", "front", "others", "failures",
//    "notebook"}
//
// Sources are read from the store. docs/proposers.md explains the members.
Result<nlohmann::json> gather_facts(db::Store& store, const study::History& history,
                                    const study::SearchOptions& options, const ProposalContext& context,
                                    int64_t variants);

// The policy at (batch, slot, draw) that was refused, with its diagnostics: {"candidate", "module", "config", "stage",
// "message", "diagnostics"}.
Result<nlohmann::json> refused_facts(db::Store& store, const study::History& history, int64_t batch, int64_t slot,
                                     int64_t draw);

}  // namespace vortex::agent
