#pragma once

#include <string>
#include <vector>

#include "study/claims.h"
#include "study/options.h"

namespace vortex::cli {

// "10 points"
std::string margin_text(const study::SearchOptions& options);
// What a search claims, in one sentence: its fastest policy that held-out problems found to keep dense attention's
// accuracy, or why there is none and what it would take.
std::string claim_text(const study::SearchOptions& options, const std::vector<study::Claim>& claims);
// The same to stdout, in lines of a terminal's width, and an empty line.
void print_claim(const study::SearchOptions& options, const std::vector<study::Claim>& claims);

}  // namespace vortex::cli
