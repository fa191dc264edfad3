#include "core/vflow/graph/row_pages.h"

#include <algorithm>
#include <vector>

namespace vortex::vflow {

RowPages row_pages(const Policy& policy, int blocks) { return row_pages(policy.program, policy.config, blocks); }

RowPages row_pages(const Program& program, const EngineConfig& config, int blocks) {
  const int64_t selected = std::max(1, selected_blocks(config, blocks));
  if (selected >= blocks) { return {blocks, blocks, blocks}; }
  const int64_t reserved = std::min<int64_t>(int64_t{config.reserved_bos} + config.reserved_eos, blocks);
  const std::vector<Node>& nodes = program.indexer.nodes;
  for (const Node& node : nodes) {
    if (node.op != Op::kUnion) { continue; }
    int64_t longest = 0;
    int64_t together = 0;
    for (const int input : node.inputs) {
      const int64_t k = std::min<int64_t>(nodes[static_cast<size_t>(input)].attrs.k, blocks - reserved);
      longest = std::max(longest, k);
      together += k;
    }
    return {reserved + longest, std::min<int64_t>(blocks, reserved + together), reserved};
  }
  return {selected, selected, std::min(reserved, selected)};
}

}  // namespace vortex::vflow
