#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vortex::cli {

// One kv head of one layer, as the recall stage saw it (evals/ladder/head_looks.h); a share is -1 where there was
// nothing to see.
struct HeadShares {
  int layer = 0;
  int head = 0;
  double answer = -1;
  double mass = -1;
  double like_oracle = -1;
  double took_answer = -1;
  double oracle_answer = -1;
};

// Reads a recall stage's evidence; empty where it holds no `heads`.
std::vector<HeadShares> read_heads(const nlohmann::json& evidence);

// The heads that look most for the answer, those that look most first.
std::vector<HeadShares> answer_heads(std::vector<HeadShares> heads, size_t count);

// A line a layer with one mark a kv head, from ' ' (none) to '@' (all): where the answer is looked for, whether the
// policy takes its pages there, whether the oracle does, and how much of the oracle's choice the policy shares.
std::string head_chart(const std::vector<HeadShares>& heads);

// One sentence: does the policy lose the answer where the model looks for it, and would the oracle have it?
std::string head_summary(const std::vector<HeadShares>& heads);

}  // namespace vortex::cli
