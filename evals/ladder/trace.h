#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// A continuation of a problem's prompt, and how probable dense attention holds its next tokens at every position: the
// yardstick of the recall stage. Depends on model, prompt, and tokens or length alone, so that all candidates of all
// searches share it.
struct DenseTrace {
  std::vector<int32_t> tokens;
  std::vector<std::vector<int32_t>> top;      // [position]: the most probable tokens, most probable first
  std::vector<std::vector<float>> log_probs;  // [position]: of these
};

// Which trace: of problem `problem` of the session, over these tokens; none: over what dense attention writes greedily,
// at most recall_tokens long.
struct TraceWanted {
  size_t problem = 0;
  std::vector<int32_t> tokens;
};

// The traces in the order asked for, read from the job's prefix folder where they are kept, else computed together
// (under dense attention; the session's policy is set again afterwards) and kept there. A file that is damaged in any
// way (it carries a checksum) is computed anew.
Result<std::vector<DenseTrace>> dense_traces(Session& session, const std::vector<TraceWanted>& wanted);

}  // namespace vortex::evals
