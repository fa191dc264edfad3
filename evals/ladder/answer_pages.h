#pragma once

#include <vector>

#include "evals/ladder/session.h"

namespace vortex::evals {

// The blocks of a problem's prompt in which one of its answers is written, ascending, each once: where attention must
// look to copy it. Empty where the prompt does not spell the answers out.
std::vector<int> answer_blocks(const model::Tokenizer& tokenizer, const PreparedProblem& prepared, int block_size);

}  // namespace vortex::evals
