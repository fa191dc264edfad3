#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "study/loaded_run.h"

namespace vortex::cli {

// What is known of a candidate, as the head of a README: its accuracy and speed with intervals, the held-out accuracy,
// and that it was not confirmed where it was not.
std::string claim_text(const study::LoadedRun& run, const study::CandidateHistory& candidate, bool confirmed);

// The pair as vortex_torch reads it: NAME.py and NAME.json in `folder`. Gives the module's path.
Result<std::filesystem::path> write_pair(const study::LoadedRun& run, const study::CandidateHistory& candidate,
                                         bool confirmed, const std::filesystem::path& folder);

// Everything that a claim about a candidate stands on, as files that need no vortex to be read: the pair; its
// ancestors' sources with what was done to them; every stage row with its evidence; every graded answer, of the
// candidate and of dense attention beside it; the options of the search; a README that says what is claimed;
// SHA256SUMS, and verify.sh, which checks the sums, recomputes the accuracy from the answers, and, where vortex and the
// model are at hand, takes the policy up the ladder again. Gives the module's path.
Result<std::filesystem::path> write_bundle(const study::LoadedRun& run, const study::CandidateHistory& candidate,
                                           bool confirmed, const std::filesystem::path& folder);

}  // namespace vortex::cli
