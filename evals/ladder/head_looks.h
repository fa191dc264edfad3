#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "core/engine/engine.h"
#include "core/vflow/config/config.h"

namespace vortex::evals {

// What one kv head of one layer looks at while the right answer is written, and what a policy gives it: means over the
// steps looked at.
struct HeadLook {
  double answer = 0;         // share of true attention on the pages that hold the answer, mean over the query heads
  double mass = 0;           // ... on the pages that the policy took
  double like_oracle = 0;    // share of the oracle's choice that the policy took, too (reserved pages left out)
  double took_answer = 0;    // share of the answer's pages that the policy took
  double oracle_answer = 0;  // ... that the oracle takes
  int looks = 0;
  int choices = 0;  // looks at which something was chosen: for like_oracle
  int placed = 0;   // looks at which the answer lies on scored pages: for answer and the two behind it
};

// Collects looks of all layers and kv heads.
class HeadLooks {
 public:
  // `budget`: what the oracle may choose; its layers that stay dense are looked at, too, and count as taking
  // everything.
  HeadLooks(int layers, int kv_heads, float scale, vflow::EngineConfig budget);

  // One request of a view. `answer` are the blocks that hold its answer, ascending; they may be empty.
  void look(const engine::AttentionView& view, int request, const std::vector<int>& answer);

  // Each member of HeadLook by name as [layer][kv head], rounded to three digits; null where there was nothing to see.
  nlohmann::json to_json() const;

 private:
  int layers_;
  int kv_heads_;
  float scale_;
  vflow::EngineConfig budget_;
  std::vector<HeadLook> sums_;  // [layer][kv head]
  std::vector<float> scratch_;
  std::vector<float> shares_;
  std::vector<int32_t> chosen_;
  std::vector<int32_t> best_;
};

}  // namespace vortex::evals
