#pragma once

#include <optional>
#include <vector>

#include "evals/grading/value.h"

namespace vortex::evals {

// One end of an interval: a real number, or infinity with its sign.
struct Edge {
  int infinite = 0;  // -1, 0, 1
  Value value;       // where it is finite

  long double at() const { return value.points[0].at.real(); }
};
// The edge that a value is; nothing where it has variables or is not real.
std::optional<Edge> edge_of(const Value& value);
bool same_edge(const Edge& a, const Edge& b);
bool is_below(const Edge& a, const Edge& b);

struct Span {
  Edge low;
  Edge high;
  bool low_open = true;
  bool high_open = true;
};

// A set of real numbers as disjoint spans in ascending order, none of which touches the next.
using RealSet = std::vector<Span>;

RealSet all_reals();
RealSet one_point(const Edge& edge);
RealSet unite(RealSet a, const RealSet& b);
RealSet complement(const RealSet& set);
RealSet intersect(const RealSet& a, const RealSet& b);
bool same_set(const RealSet& a, const RealSet& b);

}  // namespace vortex::evals
