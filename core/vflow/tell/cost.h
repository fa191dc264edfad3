#pragma once

#include "core/vflow/policy.h"

namespace vortex::vflow {

// What scoring one page for one kv head takes, once a step: fields are read and saved whole, and every operation counts
// as often as it is written. What is the same for all pages of a row is left out.
struct PageCost {
  double read_bytes = 0;
  double saved_bytes = 0;  // by Save
  double flops = 0;
  // Results of special functions (exponentials, reciprocals): a multiprocessor of an H100 gives 16 of them a cycle,
  // which in all is about one for each byte that its memory moves.
  double special = 0;
};
PageCost page_cost(const Policy& policy);

// What one decode step of one request moves and computes for attention, over all layers and kv heads, by the limit
// model: every byte of KV and of page summaries that a step needs is read once, what it saves is written once. Model
// weights are left out: they are the same for every policy. A dense step reads all of K and V.
struct DecodeCost {
  int context_tokens = 0;
  int pages = 0;           // a row
  int scored_pages = 0;    // a row of a sparse layer; 0 when everything fits the budget
  int selected_pages = 0;  // a row of a sparse layer; for Union the most that it can be
  int dense_layers = 0;
  int sparse_layers = 0;

  double dense_bytes = 0;        // a step with every layer dense
  double policy_bytes = 0;       // the sum of the next four
  double dense_layer_bytes = 0;  // layers that stay dense
  double selected_bytes = 0;     // K and V of the selected pages
  double summary_bytes = 0;      // fields read for scoring
  double state_bytes = 0;        // fields written by Save

  double dense_flops = 0;   // a step with every layer dense
  double policy_flops = 0;  // attention and scoring
  double score_flops = 0;   // scoring alone
  double special = 0;       // results of special functions, of scoring
  PageCost page;
  double field_overhead = 0;  // bytes of the policy's fields for each byte of KV

  // How many times less attention moves than dense attention; 1 for a policy that reads as much.
  double byte_ratio() const { return policy_bytes > 0 ? dense_bytes / policy_bytes : 1; }
};

DecodeCost decode_cost(const Policy& policy, const ModelGeometry& model, int context_tokens);

}  // namespace vortex::vflow
