#pragma once

#include <string>
#include <vector>

#include "study/history.h"
#include "study/options.h"

namespace vortex::study {

// Can dense attention tell good policies from bad ones on this task? What speaks against it, in sentences; empty where
// nothing does. Judged from its race, before anything is compared with it:
// - a policy that is never right would pass for one that keeps its accuracy: its interval reaches down to the margin;
// - most of its answers are wrong and were cut at the limit of new tokens;
// - most of its answers are wrong because nothing in them could be read as an answer.
std::vector<std::string> baseline_faults(const CandidateHistory& dense, const SearchOptions& options);

// What is worth knowing but no fault: it is right in all problems, so that none of them can show a policy to be better.
std::string baseline_note(const CandidateHistory& dense);

// Up to three of its answers, wrong ones first: problem, what was read by which rule, tokens.
std::string sample_answers(const CandidateHistory& dense);

// For every page of a search whose faults were accepted: one sentence; empty where there are none.
std::string baseline_warning(const History& history, const SearchOptions& options);

}  // namespace vortex::study
