#pragma once

#include <memory>

#include "agent/propose/proposer.h"

namespace vortex::agent {

// The built-in search, which needs no key and no network: first the seeds, then typed mutations and crossovers of
// members of the front (or now and then of anything that passed), and some fresh random programs.
std::unique_ptr<Proposer> make_evolver();

// Independent random programs: the control arm that tells whether evolution earns its cost.
std::unique_ptr<Proposer> make_random_proposer();

}  // namespace vortex::agent
