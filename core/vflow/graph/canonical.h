#pragma once

#include <string>
#include <vector>

#include "core/vflow/policy.h"

namespace vortex::vflow {

// The canonical form of a program as an ordered, labelled tree: dead code removed, names dropped, operands of
// commutative operations in a fixed order, attributes that an operation ignores left out, fields expanded at their
// first mention into what writes them. Two programs that differ only in names, order of independent statements or
// dead code have the same tree.
struct CanonicalTree {
  struct TreeNode {
    std::string label;  // operation with its attributes, e.g. "Mean dim=1"
    std::string kind;   // the operation alone, e.g. "Mean": what the distance compares first
    int first_child = -1;
    int next_sibling = -1;
  };
  std::vector<TreeNode> nodes;  // nodes[0] is the root
};

CanonicalTree canonical_tree(const Program& program);
// The tree as one line of text (an s-expression).
std::string canonical_text(const CanonicalTree& tree);
std::string canonical_text(const Program& program);
// SHA-256 of the canonical text.
std::string program_hash(const Program& program);
// SHA-256 over the program and every configuration value that changes what is computed: a candidate's identity.
std::string policy_key(const Policy& policy);
// The same, where the program's canonical text is known.
std::string policy_key(std::string program_text, Dialect dialect, const EngineConfig& config);

}  // namespace vortex::vflow
