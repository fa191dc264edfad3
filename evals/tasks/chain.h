#pragma once

#include "evals/tasks/task.h"

namespace vortex::evals {

// Retrieval with arithmetic over a long context: follow a chain of definitions from the queried variable down to a
// literal, then add up the way back. Texts are words separated by single spaces:
//   prompt    <s>, then N definitions in random order, `v d0 d1 u ;` (v = u + d0 + 10 d1) or `v d0 d1 # ;` (a literal),
//             then `? q ?`: 5 N + 4 tokens;
//   solution  the C definitions of the chain copied from q down to its literal, then from the literal up to q the
//   values
//             modulo 1000 `w d0 d1 d2 ;`, then `? h t o </s>`: 10 C + 5 tokens.
// Digits stand least significant first, but for the answer. Every definition outside the chain refers to a random
// earlier variable or is a literal (probability 0.15); the chain consists of the first C variables in topological
// order, so its variables are referred to more often than others. Names are drawn from v0..v1007.
// Only the answer is graded: the three digits between the last `?` and the stop token.
extern const Task kChainTask;

}  // namespace vortex::evals
