#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/vflow/graph/canonical.h"

namespace vortex::vflow {

// Structural distance of two programs: the tree edit distance (Zhang and Shasha 1989; unit insert and delete, rename
// 1 for another operation and 1/2 for other attributes of the same operation) of their canonical trees, normalised
// with d = 2 t / (|a| + |b| + t) (Li and Zhang 2011), which is a metric in [0, 1]: 0 only for equal trees, symmetric,
// triangle inequality. This metric is ours; the formula behind the diversity figures of arXiv:2606.06453 is not public.
//
// The exact algorithm can take seconds for two programs near the limit of operations with a zigzag of deep operands.
// It runs where it needs at most kMostDistanceSteps table cells, reading both trees from the left or both from the
// right, which gives the same distance. Beyond, t is the cost of turning one bag of operations into the other, a lower
// bound of the tree edit distance, and at least 1/2 for different trees: still symmetric, in [0, 1] and 0 only for
// equal trees, but the triangle inequality holds only among pairs that are measured alike.
inline constexpr int64_t kMostDistanceSteps = int64_t{1} << 24;
double structural_distance(const CanonicalTree& a, const CanonicalTree& b);

// Trees that others are compared with again and again. A cheap lower bound of the distance, from the operations alone,
// spares nearly all comparisons: what they would find is found all the same. Not thread-safe, not even for reading.
class KnownTrees {
 public:
  struct Found {
    size_t tree = 0;  // its number: how many had been added before it
    double distance = 0;
  };

  KnownTrees();
  ~KnownTrees();
  KnownTrees(KnownTrees&&) noexcept;
  KnownTrees& operator=(KnownTrees&&) noexcept;

  void add(const CanonicalTree& tree);
  size_t size() const;
  // The nearest one, of several the first; nothing where none is known.
  std::optional<Found> nearest(const CanonicalTree& tree) const;
  // The first of `among` (numbers, ascending) that is nearer than `threshold`.
  std::optional<Found> first_within(const CanonicalTree& tree, const std::vector<size_t>& among,
                                    double threshold) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Row-major n x n matrix of pairwise distances.
std::vector<double> distance_matrix(const std::vector<CanonicalTree>& trees);
// Mean over unordered pairs; 0 for fewer than two trees.
double mean_pairwise_distance(const std::vector<CanonicalTree>& trees);

}  // namespace vortex::vflow
