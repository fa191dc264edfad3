#include "evals/grading/inequality.h"

namespace vortex::evals {
namespace {

// The numbers whose absolute values are in a set.
RealSet of_absolute(const RealSet& set) {
  const RealSet positive = intersect(set, {{Edge{0, number(0)}, Edge{1, {}}, false, true}});
  const auto negated = [](const Edge& edge) { return Edge{-edge.infinite, negate(edge.value)}; };
  RealSet negative;
  for (const Span& span : positive) {
    negative.push_back({negated(span.high), negated(span.low), span.high_open, span.low_open});
  }
  return unite(positive, negative);
}

// The values that a variable may have by one relation between it and a real number.
std::optional<RealSet> one_constraint(const Node& low, const Node& high, char relation, std::string& name) {
  const bool low_is_name = !low.as_name.empty();
  const Node& variable = low_is_name ? low : high;
  const auto edge = edge_of((low_is_name ? high : low).term.value);
  if (variable.as_name.empty() || !edge || (!name.empty() && name != variable.as_name)) { return std::nullopt; }
  name = variable.as_name;
  if (relation == '!') { return complement(one_point(*edge)); }
  const bool open = relation == '<';
  RealSet set = {low_is_name ? Span{Edge{-1, {}}, *edge, true, open} : Span{*edge, Edge{1, {}}, open, true}};
  const bool absolute = name.size() > 2 && name.front() == '|' && name.back() == '|';
  return absolute ? of_absolute(set) : set;
}

}  // namespace

Node inequality_of(const std::vector<Node>& sides, const std::string& signs) {
  Node node;
  RealSet reals = all_reals();
  bool known = true;
  for (size_t i = 0; i < signs.size(); ++i) {
    const bool greater = signs[i] == '>' || signs[i] == 'g';
    const Node& low = sides[i + (greater ? 1 : 0)];
    const Node& high = sides[i + (greater ? 0 : 1)];
    const char relation = signs[i] == '>' ? '<' : signs[i] == 'g' ? 'l' : signs[i];
    const auto a = low.kind == NodeKind::kNumber ? pure(low.term) : std::nullopt;
    const auto b = high.kind == NodeKind::kNumber ? pure(high.term) : std::nullopt;
    if (!a || !b || !low.words.empty() || !high.words.empty()) { return {}; }
    node.constraints.push_back({subtract(*a, *b), relation});
    const auto part = one_constraint(low, high, relation, node.name);
    known = known && part.has_value();
    if (part) { reals = intersect(reals, *part); }
  }
  node.kind = NodeKind::kInequality;
  if (known) { node.reals = reals; }
  return node;
}

std::optional<Node> held_together(const std::vector<Item>& items) {
  Node made;
  made.kind = NodeKind::kInequality;
  bool inequalities = false;
  for (const auto& [joint, nodes] : items) {
    if (nodes.size() != 1) { return std::nullopt; }
    std::optional<RealSet> reals;
    std::string name;
    const Node& node = nodes.front();
    if (node.kind == NodeKind::kInequality && node.reals) {
      reals = node.reals;
      name = node.name;
      inequalities = true;
    } else if (node.kind == NodeKind::kEquation && node.parts.size() == 2) {
      name = node.parts[0].as_name;
      if (node.parts[1].reals && node.parts[1].kind == NodeKind::kNumber) { reals = node.parts[1].reals; }
    }
    if (!reals || name.empty() || (made.reals && name != made.name)) { return std::nullopt; }
    made.name = name;
    if (!made.reals) {
      made.reals = reals;
      continue;
    }
    const RealSet both = intersect(*made.reals, *reals);
    made.reals = joint == Joint::kOr || both.empty() ? unite(*made.reals, *reals) : both;
  }
  return inequalities && made.reals ? std::optional(made) : std::nullopt;
}

}  // namespace vortex::evals
