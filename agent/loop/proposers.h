#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/propose/proposer.h"
#include "base/result.h"

namespace vortex::agent {

// Makes a registered proposer; an unknown name is refused with the nearest known one. A new proposer is one file and
// one line in proposer.cpp.
Result<std::unique_ptr<Proposer>> make_proposer(std::string_view name, const ProposerSetup& setup = {});
std::vector<std::string> proposer_names();

}  // namespace vortex::agent
