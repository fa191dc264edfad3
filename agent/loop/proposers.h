#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/propose/proposer.h"
#include "base/result.h"

namespace vortex::agent {

// Makes a registered proposer; an unknown name is refused with the nearest known one. A new proposer is a pair
// of files and a line in proposers.cpp, and one in db/words.h if its candidates shall have an origin of their own.
Result<std::unique_ptr<Proposer>> make_proposer(std::string_view name, const ProposerSetup& setup = {});
std::vector<std::string> proposer_names();

}  // namespace vortex::agent
