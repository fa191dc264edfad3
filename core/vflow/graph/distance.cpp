#include "core/vflow/graph/distance.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <thread>
#include <tuple>
#include <utility>

namespace vortex::vflow {
namespace {

// Costs in half units, so that all arithmetic is exact.
constexpr int kInsertOrDelete = 2;
constexpr int kRenameKind = 2;
constexpr int kRenameAttributes = 1;

// A tree as Zhang and Shasha want it: arrays in postorder.
struct FlatTree {
  std::vector<int> label;     // interned
  std::vector<int> kind;      // interned
  std::vector<int> leftmost;  // postorder index of the leftmost leaf below
  std::vector<int> keyroots;  // ascending
  int64_t keyroot_nodes = 0;  // below all keyroots together: the work of a pair is the product
  int size() const { return static_cast<int>(label.size()); }
};

class Interner {
 public:
  int id(const std::string& text) { return ids_.try_emplace(text, static_cast<int>(ids_.size())).first->second; }

 private:
  std::map<std::string, int> ids_;
};

// Both reading directions of a tree. They give the same distance at a different cost: a comb is cheap in one of them.
struct Directions {
  FlatTree forward;
  FlatTree mirrored;
  int size() const { return forward.size(); }
};

int flatten_from(const CanonicalTree& tree, int index, bool mirror, Interner& names, FlatTree& flat) {
  const CanonicalTree::TreeNode& node = tree.nodes[static_cast<size_t>(index)];
  std::vector<int> children;
  for (int child = node.first_child; child >= 0; child = tree.nodes[static_cast<size_t>(child)].next_sibling) {
    children.push_back(child);
  }
  if (mirror) { std::reverse(children.begin(), children.end()); }
  int leftmost = -1;
  for (int child : children) {
    const int below = flatten_from(tree, child, mirror, names, flat);
    if (leftmost < 0) { leftmost = below; }
  }
  if (leftmost < 0) { leftmost = flat.size(); }
  flat.label.push_back(names.id(node.label));
  flat.kind.push_back(names.id(node.kind));
  flat.leftmost.push_back(leftmost);
  return leftmost;
}

FlatTree flatten(const CanonicalTree& tree, bool mirror, Interner& names) {
  FlatTree flat;
  if (!tree.nodes.empty()) { flatten_from(tree, 0, mirror, names, flat); }
  // A keyroot is the highest node with its leftmost leaf.
  std::vector<bool> taken(flat.label.size());
  for (int i = flat.size() - 1; i >= 0; --i) {
    const int leaf = flat.leftmost[static_cast<size_t>(i)];
    if (taken[static_cast<size_t>(leaf)]) { continue; }
    taken[static_cast<size_t>(leaf)] = true;
    flat.keyroots.push_back(i);
    flat.keyroot_nodes += i - leaf + 1;
  }
  std::reverse(flat.keyroots.begin(), flat.keyroots.end());
  return flat;
}

Directions flatten(const CanonicalTree& tree, Interner& names) {
  return {flatten(tree, false, names), flatten(tree, true, names)};
}

bool same_tree(const FlatTree& a, const FlatTree& b) {
  return std::tie(a.label, a.kind, a.leftmost) == std::tie(b.label, b.kind, b.leftmost);
}

// The operations of a tree as (kind, label), sorted.
using Bag = std::vector<std::pair<int, int>>;

Bag bag_of(const FlatTree& tree) {
  Bag bag;
  for (size_t i = 0; i < tree.label.size(); ++i) { bag.emplace_back(tree.kind[i], tree.label[i]); }
  std::sort(bag.begin(), bag.end());
  return bag;
}

// The cheapest edits, in half units, that turn the operations of one tree into those of the other with no regard to
// where they stand. No edit script costs less.
int bag_distance(const Bag& a, const Bag& b) {
  int relabelled = 0;
  int rest_a = 0;
  int rest_b = 0;
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    const int kind = j == b.size() || (i < a.size() && a[i].first <= b[j].first) ? a[i].first : b[j].first;
    int only_a = 0;
    int only_b = 0;
    for (;;) {
      const bool in_a = i < a.size() && a[i].first == kind;
      const bool in_b = j < b.size() && b[j].first == kind;
      if (!in_a && !in_b) { break; }
      const bool both = in_a && in_b && a[i].second == b[j].second;
      const bool from_a = in_a && (!in_b || a[i].second <= b[j].second);
      const bool from_b = in_b && (!in_a || b[j].second <= a[i].second);
      only_a += from_a && !both ? 1 : 0;
      only_b += from_b && !both ? 1 : 0;
      i += from_a ? 1U : 0U;
      j += from_b ? 1U : 0U;
    }
    const int pairs = std::min(only_a, only_b);
    relabelled += pairs;
    rest_a += only_a - pairs;
    rest_b += only_b - pairs;
  }
  return kRenameAttributes * relabelled + kRenameKind * std::max(rest_a, rest_b);
}

// The same for trees: an edit script between different ones costs at least a half unit.
int bag_distance(const FlatTree& a, const FlatTree& b) {
  return same_tree(a, b) ? 0 : std::max(bag_distance(bag_of(a), bag_of(b)), kRenameAttributes);
}

// Tree edit distance with reusable tables.
class EditDistance {
 public:
  // In half units.
  int operator()(const Directions& a, const Directions& b) {
    const int64_t forward = a.forward.keyroot_nodes * b.forward.keyroot_nodes;
    const int64_t mirrored = a.mirrored.keyroot_nodes * b.mirrored.keyroot_nodes;
    if (std::min(forward, mirrored) > kMostDistanceSteps) { return bag_distance(a.forward, b.forward); }
    return forward <= mirrored ? exact(a.forward, b.forward) : exact(a.mirrored, b.mirrored);
  }

 private:
  int exact(const FlatTree& a, const FlatTree& b) {
    const size_t m = a.label.size();
    const size_t n = b.label.size();
    if (m == 0 || n == 0) { return kInsertOrDelete * static_cast<int>(m + n); }
    width_ = n + 1;
    forest_.resize((m + 1) * width_);
    tree_.resize(m * n);
    for (int i : a.keyroots) {
      for (int j : b.keyroots) { subtrees(a, b, i, j); }
    }
    return tree_[m * n - 1];
  }

  // Fills tree_ for all pairs on the left paths of keyroots i and j. Row and column 0 of forest_ are empty forests.
  void subtrees(const FlatTree& a, const FlatTree& b, int i, int j) {
    const int first_a = a.leftmost[static_cast<size_t>(i)];
    const int first_b = b.leftmost[static_cast<size_t>(j)];
    const int rows = i - first_a + 1;
    const int cols = j - first_b + 1;
    for (int y = 0; y <= cols; ++y) { forest_[static_cast<size_t>(y)] = y * kInsertOrDelete; }
    for (int x = 1; x <= rows; ++x) {
      const size_t s = static_cast<size_t>(first_a + x - 1);
      const int left_a = a.leftmost[s];
      int* row = &forest_[static_cast<size_t>(x) * width_];
      const int* above = row - width_;
      const int* before_a = &forest_[static_cast<size_t>(left_a - first_a) * width_];
      int* tree_row = &tree_[s * b.label.size()];
      row[0] = x * kInsertOrDelete;
      for (int y = 1; y <= cols; ++y) {
        const size_t t = static_cast<size_t>(first_b + y - 1);
        const int left_b = b.leftmost[t];
        const int shorter = std::min(above[y], row[y - 1]) + kInsertOrDelete;
        if (left_a == first_a && left_b == first_b) {
          row[y] = std::min(shorter, above[y - 1] + rename(a, s, b, t));
          tree_row[t] = row[y];
        } else {
          row[y] = std::min(shorter, before_a[left_b - first_b] + tree_row[t]);
        }
      }
    }
  }

  static int rename(const FlatTree& a, size_t s, const FlatTree& b, size_t t) {
    if (a.label[s] == b.label[t]) { return 0; }
    return a.kind[s] == b.kind[t] ? kRenameAttributes : kRenameKind;
  }

  std::vector<int> forest_;
  std::vector<int> tree_;
  size_t width_ = 0;
};

double normalised(int half_units, int size_a, int size_b) {
  const double t = half_units / 2.0;
  return t == 0 ? 0 : 2 * t / (size_a + size_b + t);
}

// Distances of the distinct trees with all later ones, row by row on all cores.
std::vector<double> distinct_matrix(const std::vector<Directions>& trees) {
  const size_t n = trees.size();
  std::vector<double> matrix(n * n);
  std::atomic<size_t> next_row{0};
  const auto work = [&] {
    EditDistance edit;
    for (size_t i = next_row++; i < n; i = next_row++) {
      for (size_t j = i + 1; j < n; ++j) {
        matrix[i * n + j] = normalised(edit(trees[i], trees[j]), trees[i].size(), trees[j].size());
      }
    }
  };
  constexpr size_t kRowsWorthAThread = 64;
  const size_t threads =
      std::clamp<size_t>(n / kRowsWorthAThread, 1, std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::jthread> pool;
  for (size_t i = 1; i < threads; ++i) { pool.emplace_back(work); }
  work();
  pool.clear();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < i; ++j) { matrix[i * n + j] = matrix[j * n + i]; }
  }
  return matrix;
}

}  // namespace

struct KnownTrees::Impl {
  struct Tree {
    Directions flat;
    Bag bag;
  };

  Tree prepare(const CanonicalTree& tree) {
    Tree prepared{flatten(tree, names), {}};
    prepared.bag = bag_of(prepared.flat.forward);
    return prepared;
  }
  static double at_least(const Tree& a, const Tree& b) {
    return normalised(bag_distance(a.bag, b.bag), a.flat.size(), b.flat.size());
  }
  double distance(const Tree& a, const Tree& b) {
    return normalised(edit(a.flat, b.flat), a.flat.size(), b.flat.size());
  }

  Interner names;
  EditDistance edit;
  std::vector<Tree> trees;
};

KnownTrees::KnownTrees() : impl_(std::make_unique<Impl>()) {}
KnownTrees::~KnownTrees() = default;
KnownTrees::KnownTrees(KnownTrees&&) noexcept = default;
KnownTrees& KnownTrees::operator=(KnownTrees&&) noexcept = default;

void KnownTrees::add(const CanonicalTree& tree) { impl_->trees.push_back(impl_->prepare(tree)); }

size_t KnownTrees::size() const { return impl_->trees.size(); }

std::optional<KnownTrees::Found> KnownTrees::nearest(const CanonicalTree& tree) const {
  const Impl::Tree asked = impl_->prepare(tree);
  std::vector<std::pair<double, size_t>> bounds;
  for (size_t i = 0; i < size(); ++i) { bounds.emplace_back(Impl::at_least(asked, impl_->trees[i]), i); }
  std::make_heap(bounds.begin(), bounds.end(), std::greater<>());
  std::optional<Found> best;
  while (!bounds.empty()) {
    std::pop_heap(bounds.begin(), bounds.end(), std::greater<>());
    const auto [bound, number] = bounds.back();
    bounds.pop_back();
    if (best && bound > best->distance) { break; }
    const double distance = impl_->distance(asked, impl_->trees[number]);
    if (!best || std::pair(distance, number) < std::pair(best->distance, best->tree)) { best = {number, distance}; }
  }
  return best;
}

std::optional<KnownTrees::Found> KnownTrees::first_within(const CanonicalTree& tree, const std::vector<size_t>& among,
                                                          double threshold) const {
  const Impl::Tree asked = impl_->prepare(tree);
  for (const size_t number : among) {
    const Impl::Tree& known = impl_->trees[number];
    if (Impl::at_least(asked, known) >= threshold) { continue; }
    const double distance = impl_->distance(asked, known);
    if (distance < threshold) { return Found{number, distance}; }
  }
  return std::nullopt;
}

double structural_distance(const CanonicalTree& a, const CanonicalTree& b) {
  Interner names;
  const Directions flat_a = flatten(a, names);
  const Directions flat_b = flatten(b, names);
  return normalised(EditDistance{}(flat_a, flat_b), flat_a.size(), flat_b.size());
}

std::vector<double> distance_matrix(const std::vector<CanonicalTree>& trees) {
  Interner names;
  std::vector<Directions> distinct;
  std::vector<size_t> class_of;
  std::map<std::vector<int>, std::vector<size_t>> by_labels;
  for (const CanonicalTree& tree : trees) {
    Directions flat = flatten(tree, names);
    std::vector<size_t>& candidates = by_labels[flat.forward.label];
    const auto equal = std::find_if(candidates.begin(), candidates.end(),
                                    [&](size_t index) { return same_tree(distinct[index].forward, flat.forward); });
    if (equal != candidates.end()) {
      class_of.push_back(*equal);
      continue;
    }
    candidates.push_back(distinct.size());
    class_of.push_back(distinct.size());
    distinct.push_back(std::move(flat));
  }
  const std::vector<double> between = distinct_matrix(distinct);
  const size_t n = trees.size();
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) { matrix[i * n + j] = between[class_of[i] * distinct.size() + class_of[j]]; }
  }
  return matrix;
}

double mean_pairwise_distance(const std::vector<CanonicalTree>& trees) {
  const size_t n = trees.size();
  if (n < 2) { return 0; }
  const std::vector<double> matrix = distance_matrix(trees);
  double sum = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) { sum += matrix[i * n + j]; }
  }
  return sum / (static_cast<double>(n) * static_cast<double>(n - 1) / 2);
}

}  // namespace vortex::vflow
