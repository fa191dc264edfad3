#include "core/vflow/graph/distance.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <map>
#include <queue>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "base/rng.h"

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

int flatten_from(const CanonicalTree& tree, int index, Interner& names, FlatTree& flat) {
  const CanonicalTree::TreeNode& node = tree.nodes[static_cast<size_t>(index)];
  int leftmost = -1;
  for (int child = node.first_child; child >= 0; child = tree.nodes[static_cast<size_t>(child)].next_sibling) {
    const int below = flatten_from(tree, child, names, flat);
    if (leftmost < 0) { leftmost = below; }
  }
  if (leftmost < 0) { leftmost = flat.size(); }
  flat.label.push_back(names.id(node.label));
  flat.kind.push_back(names.id(node.kind));
  flat.leftmost.push_back(leftmost);
  return leftmost;
}

// A keyroot is the highest node with its leftmost leaf.
void find_keyroots(FlatTree& flat) {
  std::vector<bool> taken(flat.label.size());
  for (int i = flat.size() - 1; i >= 0; --i) {
    const int leaf = flat.leftmost[static_cast<size_t>(i)];
    if (taken[static_cast<size_t>(leaf)]) { continue; }
    taken[static_cast<size_t>(leaf)] = true;
    flat.keyroots.push_back(i);
    flat.keyroot_nodes += i - leaf + 1;
  }
  std::reverse(flat.keyroots.begin(), flat.keyroots.end());
}

FlatTree flatten(const CanonicalTree& tree, Interner& names) {
  FlatTree flat;
  if (!tree.nodes.empty()) { flatten_from(tree, 0, names, flat); }
  find_keyroots(flat);
  return flat;
}

// Of children the last stands right before its parent, and each other one right before the next one's leftmost leaf.
int mirror_from(const FlatTree& tree, int index, FlatTree& mirrored) {
  const auto at = static_cast<size_t>(index);
  int leftmost = -1;
  for (int child = index - 1; child >= tree.leftmost[at]; child = tree.leftmost[static_cast<size_t>(child)] - 1) {
    const int below = mirror_from(tree, child, mirrored);
    if (leftmost < 0) { leftmost = below; }
  }
  if (leftmost < 0) { leftmost = mirrored.size(); }
  mirrored.label.push_back(tree.label[at]);
  mirrored.kind.push_back(tree.kind[at]);
  mirrored.leftmost.push_back(leftmost);
  return leftmost;
}

Directions directions_of(FlatTree forward) {
  FlatTree mirrored;
  if (forward.size() > 0) { mirror_from(forward, forward.size() - 1, mirrored); }
  find_keyroots(mirrored);
  return {std::move(forward), std::move(mirrored)};
}

Directions flatten_both(const CanonicalTree& tree, Interner& names) { return directions_of(flatten(tree, names)); }

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

// How many of each kind of operation a tree has, by kind.
using Kinds = std::vector<std::pair<int, int>>;

Kinds kinds_of(const Bag& bag) {
  Kinds kinds;
  for (const auto& [kind, label] : bag) {
    if (kinds.empty() || kinds.back().first != kind) { kinds.emplace_back(kind, 0); }
    ++kinds.back().second;
  }
  return kinds;
}

// The same in a row of bytes, so that many can be gone through fast. Kinds that share a byte, and counts beyond what it
// holds, only bring rows nearer to each other.
using Profile = std::array<uint8_t, 64>;

Profile profile_of(const Kinds& kinds) {
  Profile profile{};
  for (const auto& [kind, count] : kinds) {
    uint8_t& place = profile[static_cast<size_t>(kind) % profile.size()];
    place = static_cast<uint8_t>(std::min(255, place + count));
  }
  return profile;
}

// What bags of these kinds cost at least, in half units: whatever only one of them has is inserted, deleted or renamed.
int profile_distance(const Profile& a, int size_a, const Profile& b, int size_b) {
  int apart = 0;
  for (size_t i = 0; i < a.size(); ++i) { apart += std::abs(static_cast<int>(a[i]) - static_cast<int>(b[i])); }
  return kRenameKind * ((apart + std::abs(size_a - size_b)) / 2);
}

size_t hash_of(const FlatTree& tree) {
  uint64_t hash = 0;
  for (size_t i = 0; i < tree.label.size(); ++i) {
    hash = mix64(hash ^ (static_cast<uint64_t>(tree.label[i]) << 32 | static_cast<uint32_t>(tree.leftmost[i])));
  }
  return hash;
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
  // Most are only ever compared by their bags: how they are laid out for more is worked out when it is needed.
  struct Tree {
    std::vector<int> label;
    std::vector<int> leftmost;
    Bag bag;
    size_t first = 0;  // the first number that it has
    size_t group = 0;
    int size() const { return static_cast<int>(label.size()); }
  };

  struct Asked {
    Directions flat;
    Bag bag;
    Profile profile;
    int size() const { return flat.size(); }
  };

  // Trees of the same operations, whatever their attributes and their order.
  struct Group {
    Profile profile;
    int size = 0;  // operations of each
    std::vector<size_t> trees;
  };

  Asked prepare(const CanonicalTree& tree) {
    Asked asked{flatten_both(tree, names), {}, {}};
    asked.bag = bag_of(asked.flat.forward);
    asked.profile = profile_of(kinds_in(asked.bag));
    return asked;
  }

  // By numbers of kinds alone, which few programs have more than a profile's of.
  Kinds kinds_in(const Bag& bag) {
    Kinds kinds = kinds_of(bag);
    for (auto& [kind, count] : kinds) {
      kind = kind_numbers.try_emplace(kind, static_cast<int>(kind_numbers.size())).first->second;
    }
    std::sort(kinds.begin(), kinds.end());
    return kinds;
  }

  // Its number among the distinct ones; nothing for a tree that is not known.
  std::optional<size_t> find(const FlatTree& flat) const {
    const auto alike = by_hash.find(hash_of(flat));
    if (alike == by_hash.end()) { return std::nullopt; }
    const auto equal = std::find_if(alike->second.begin(), alike->second.end(), [&](size_t index) {
      return std::tie(distinct[index].label, distinct[index].leftmost) == std::tie(flat.label, flat.leftmost);
    });
    return equal == alike->second.end() ? std::nullopt : std::optional(*equal);
  }

  double distance(const Asked& a, const Tree& b) {
    FlatTree forward;
    forward.label = b.label;
    forward.leftmost = b.leftmost;
    for (const int label : b.label) { forward.kind.push_back(kind_of.at(label)); }
    find_keyroots(forward);
    return normalised(edit(a.flat, directions_of(std::move(forward))), a.size(), b.size());
  }
  static double at_least(const Asked& a, const Tree& b) {
    return normalised(bag_distance(a.bag, b.bag), a.size(), b.size());
  }
  static double at_least(const Asked& a, const Group& group) {
    return normalised(profile_distance(a.profile, a.size(), group.profile, group.size), a.size(), group.size);
  }

  void add(const CanonicalTree& tree) {
    FlatTree flat = flatten(tree, names);
    const size_t number = distinct_of.size();
    const std::optional<size_t> known = find(flat);
    distinct_of.push_back(known.value_or(distinct.size()));
    if (known) { return; }
    by_hash[hash_of(flat)].push_back(distinct.size());
    Bag bag = bag_of(flat);
    const Kinds kinds = kinds_in(bag);
    const auto [place, is_new] = group_of.try_emplace(kinds, groups.size());
    if (is_new) {
      by_size[flat.size()].push_back(groups.size());
      groups.push_back({profile_of(kinds), flat.size(), {}});
    }
    groups[place->second].trees.push_back(distinct.size());
    for (size_t i = 0; i < flat.label.size(); ++i) { kind_of[flat.label[i]] = flat.kind[i]; }
    distinct.push_back({std::move(flat.label), std::move(flat.leftmost), std::move(bag), number, place->second});
  }

  Interner names;
  EditDistance edit;
  std::unordered_map<int, int> kind_of;  // a label's
  std::vector<size_t> distinct_of;       // by number, into `distinct`
  std::vector<Tree> distinct;
  std::unordered_map<size_t, std::vector<size_t>> by_hash;  // of the distinct ones
  std::vector<Group> groups;
  std::map<Kinds, size_t> group_of;
  std::unordered_map<int, int> kind_numbers;
  std::map<int, std::vector<size_t>> by_size;  // groups by how many operations their trees have
};

KnownTrees::KnownTrees() : impl_(std::make_unique<Impl>()) {}
KnownTrees::~KnownTrees() = default;
KnownTrees::KnownTrees(KnownTrees&&) noexcept = default;
KnownTrees& KnownTrees::operator=(KnownTrees&&) noexcept = default;

void KnownTrees::add(const CanonicalTree& tree) { impl_->add(tree); }

size_t KnownTrees::size() const { return impl_->distinct_of.size(); }

// What may be nearest is opened first: sizes, then the groups of a size, then the trees of a group, each by the least
// distance that anything in it can have.
std::optional<KnownTrees::Found> KnownTrees::nearest(const CanonicalTree& tree) const {
  enum class Level { kSize, kGroup, kTree };
  using Entry = std::tuple<double, Level, size_t>;
  const Impl::Asked asked = impl_->prepare(tree);
  if (const auto same = impl_->find(asked.flat.forward)) { return Found{impl_->distinct[*same].first, 0}; }
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> open;
  for (const auto& [size, groups] : impl_->by_size) {
    const int apart = std::abs(size - asked.size());
    open.emplace(normalised(kInsertOrDelete * apart, size, asked.size()), Level::kSize, size);
  }
  std::optional<Found> best;
  // Of equally near trees the first is it: one that is known for less long must be nearer than the best so far.
  const auto may_win = [&](double bound, Level level, size_t index) {
    if (!best || bound < best->distance) { return true; }
    return bound == best->distance && (level != Level::kTree || impl_->distinct[index].first < best->tree);
  };
  const auto push = [&](double bound, Level level, size_t index) {
    if (may_win(bound, level, index)) { open.emplace(bound, level, index); }
  };
  for (; !open.empty();) {
    const auto [bound, level, index] = open.top();
    open.pop();
    if (best && bound > best->distance) { break; }
    if (!may_win(bound, level, index)) { continue; }
    if (level == Level::kSize) {
      for (const size_t group : impl_->by_size.at(static_cast<int>(index))) {
        push(Impl::at_least(asked, impl_->groups[group]), Level::kGroup, group);
      }
    } else if (level == Level::kGroup) {
      for (const size_t number : impl_->groups[index].trees) {
        push(Impl::at_least(asked, impl_->distinct[number]), Level::kTree, number);
      }
    } else {
      const Impl::Tree& known = impl_->distinct[index];
      const double distance = impl_->distance(asked, known);
      if (!best || std::pair(distance, known.first) < std::pair(best->distance, best->tree)) {
        best = {known.first, distance};
      }
    }
  }
  return best;
}

std::optional<KnownTrees::Found> KnownTrees::first_within(const CanonicalTree& tree, const std::vector<size_t>& among,
                                                          double threshold) const {
  const Impl::Asked asked = impl_->prepare(tree);
  for (const size_t number : among) {
    const Impl::Tree& known = impl_->distinct[impl_->distinct_of[number]];
    if (Impl::at_least(asked, impl_->groups[known.group]) >= threshold) { continue; }
    if (Impl::at_least(asked, known) >= threshold) { continue; }
    const double distance = impl_->distance(asked, known);
    if (distance < threshold) { return Found{number, distance}; }
  }
  return std::nullopt;
}

double structural_distance(const CanonicalTree& a, const CanonicalTree& b) {
  Interner names;
  const Directions flat_a = flatten_both(a, names);
  const Directions flat_b = flatten_both(b, names);
  return normalised(EditDistance{}(flat_a, flat_b), flat_a.size(), flat_b.size());
}

std::vector<double> distance_matrix(const std::vector<CanonicalTree>& trees) {
  Interner names;
  std::vector<Directions> distinct;
  std::vector<size_t> class_of;
  std::map<std::vector<int>, std::vector<size_t>> by_labels;
  for (const CanonicalTree& tree : trees) {
    Directions flat = flatten_both(tree, names);
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
