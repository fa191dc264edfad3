#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "evals/ladder/session.h"

namespace vortex::evals {

// What dense attention wrote greedily for a problem, and how probable it held its next tokens at every position: the
// yardstick of the recall stage. At most recall_tokens long. Depends on model, prompt and length alone, so that all
// candidates of all searches share it.
struct DenseTrace {
  std::vector<int32_t> tokens;
  std::vector<std::vector<int32_t>> top;      // [position]: the most probable tokens, most probable first
  std::vector<std::vector<float>> log_probs;  // [position]: of these
};

// The traces of the first `count` problems, read from the job's prefix folder where they are kept, else computed (under
// dense attention; the session's policy is set again afterwards) and kept there. A file that is damaged in any
// way (it carries a checksum) is computed anew.
Result<std::vector<DenseTrace>> dense_traces(Session& session, size_t count);

}  // namespace vortex::evals
