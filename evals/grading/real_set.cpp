#include "evals/grading/real_set.h"

#include <algorithm>

namespace vortex::evals {
namespace {

bool is_empty(const Span& span) {
  if (same_edge(span.low, span.high)) { return span.low_open || span.high_open || span.low.infinite != 0; }
  return is_below(span.high, span.low);
}

// Is there no gap between a and b, which does not begin before a?
bool touches(const Span& a, const Span& b) {
  if (same_edge(a.high, b.low)) { return !a.high_open || !b.low_open; }
  return is_below(b.low, a.high);
}

void extend(Span& a, const Span& b) {
  if (same_edge(a.high, b.high)) {
    a.high_open = a.high_open && b.high_open;
  } else if (is_below(a.high, b.high)) {
    a.high = b.high;
    a.high_open = b.high_open;
  }
}

RealSet tidy(RealSet spans) {
  std::erase_if(spans, is_empty);
  std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) {
    return same_edge(a.low, b.low) ? !a.low_open && b.low_open : is_below(a.low, b.low);
  });
  RealSet made;
  for (const Span& span : spans) {
    if (!made.empty() && touches(made.back(), span)) {
      extend(made.back(), span);
    } else {
      made.push_back(span);
    }
  }
  return made;
}

}  // namespace

std::optional<Edge> edge_of(const Value& value) {
  if (is_infinity(value)) { return Edge{1, {}}; }
  if (is_infinity(negate(value))) { return Edge{-1, {}}; }
  if (!real_number(value)) { return std::nullopt; }
  return Edge{0, value};
}

bool same_edge(const Edge& a, const Edge& b) {
  return a.infinite == b.infinite && (a.infinite != 0 || same_value(a.value, b.value));
}

bool is_below(const Edge& a, const Edge& b) {
  if (a.infinite != 0 || b.infinite != 0) { return a.infinite < b.infinite; }
  return !same_edge(a, b) && a.at() < b.at();
}

RealSet all_reals() { return {{Edge{-1, {}}, Edge{1, {}}, true, true}}; }
RealSet one_point(const Edge& edge) { return {{edge, edge, false, false}}; }

RealSet unite(RealSet a, const RealSet& b) {
  a.insert(a.end(), b.begin(), b.end());
  return tidy(std::move(a));
}

RealSet complement(const RealSet& set) {
  RealSet gaps;
  Edge low = {-1, {}};
  bool low_open = true;
  for (const Span& span : tidy(set)) {
    gaps.push_back({low, span.low, low_open, !span.low_open});
    low = span.high;
    low_open = !span.high_open;
  }
  gaps.push_back({low, Edge{1, {}}, low_open, true});
  return tidy(std::move(gaps));
}

RealSet intersect(const RealSet& a, const RealSet& b) { return complement(unite(complement(a), complement(b))); }

bool same_set(const RealSet& a, const RealSet& b) {
  const RealSet x = tidy(a);
  const RealSet y = tidy(b);
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const Span& s, const Span& t) {
    return same_edge(s.low, t.low) && same_edge(s.high, t.high) && s.low_open == t.low_open &&
           s.high_open == t.high_open;
  });
}

}  // namespace vortex::evals
