#pragma once

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "base/rng.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/policy.h"
#include "core/vflow/tell/cost.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {

// A truth that children inherit: what a policy is worth is a sum over the pairs of operations that its programs
// connect, each pair with a worth of its own that the world draws, and over how many pages it attends. A mutation
// changes a few pairs, so a child is worth about what its parent is; nothing tells a proposer which pairs are good.
inline double structure_worth(const vflow::Graph& graph, uint64_t world, uint64_t side) {
  std::set<std::pair<int, int>> pairs;
  for (const vflow::Node& node : graph.nodes) {
    for (int input : node.inputs) {
      pairs.insert({static_cast<int>(graph.nodes[static_cast<size_t>(input)].op), static_cast<int>(node.op)});
    }
  }
  double sum = 0;
  for (const auto& [from, to] : pairs) {
    Rng rng(stream_key(world, side, static_cast<uint64_t>(from), static_cast<uint64_t>(to)));
    sum += rng.uniform() + rng.uniform() + rng.uniform() + rng.uniform() - 2;  // variance 1/3
  }
  return pairs.empty() ? 0 : sum / std::sqrt(static_cast<double>(pairs.size()) / 3);
}

// Between 0 and 1: the `truth` of SyntheticWorkers. The logit is 1 where an eighth of the pages is attended by a
// structure of no worth; a factor of two in pages and a standard deviation of structure move it by 1 and by 1.5.
inline double heritable_quality(const job::Job& job, uint64_t world) {
  if (job.dense) { return 1.0; }
  const vflow::CheckReport report =
      vflow::check_policy({job.module_text, job.config_text, "p.py", "p.json"}, test_model());
  if (!report.policy) { return 0; }
  const vflow::DecodeCost cost = vflow::decode_cost(*report.policy, test_model(), 4096);
  const double attended = static_cast<double>(cost.selected_pages) / std::max(1, cost.pages);
  const double structure = structure_worth(report.policy->program.indexer, world, 1) +
                           structure_worth(report.policy->program.cache, world, 2);
  const double logit = 1 + std::log2(std::max(attended, 1e-3) * 8) + 1.5 * structure / std::sqrt(2.0);
  return 1 / (1 + std::exp(-logit));
}

}  // namespace vortex::agent
