#pragma once

#include <cstddef>

#include "evals/ladder/session.h"

namespace vortex::evals {

// Problems that a race asks before it looks for the first time at whether the policy is lost; every later round doubles
// how many are answered. Eight, or all of them: where nobody is there to lose to, and on a device where all together
// cost less than eight and half of what the others would cost by themselves. Short contexts on a model with large
// weights are like that: a round reads all weights again for every token, whoever else is asked with it.
size_t first_round(Session& session);

}  // namespace vortex::evals
