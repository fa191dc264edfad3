#include "core/vflow/graph/distance.h"

#include <gtest/gtest.h>

#include "core/vflow/vary/generate.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

// A tree from "a(b,c(d))"; a label "kind:attributes" has the kind before the colon.
CanonicalTree tree(const std::string& text) {
  CanonicalTree result;
  std::vector<int> parents;
  std::vector<int> last = {-1};
  size_t at = 0;
  while (at < text.size()) {
    if (text[at] == '(') {
      parents.push_back(static_cast<int>(result.nodes.size()) - 1);
      last.push_back(-1);
      ++at;
    } else if (text[at] == ')') {
      parents.pop_back();
      last.pop_back();
      ++at;
    } else if (text[at] == ',') {
      ++at;
    } else {
      const size_t end = text.find_first_of("(),", at);
      const std::string label = text.substr(at, end - at);
      const int index = static_cast<int>(result.nodes.size());
      result.nodes.push_back({label, label.substr(0, label.find(':'))});
      if (last.back() >= 0) {
        result.nodes[static_cast<size_t>(last.back())].next_sibling = index;
      } else if (!parents.empty()) {
        result.nodes[static_cast<size_t>(parents.back())].first_child = index;
      }
      last.back() = index;
      at = end == std::string::npos ? text.size() : end;
    }
  }
  return result;
}

double edits(const std::string& a, const std::string& b) {
  const CanonicalTree x = tree(a);
  const CanonicalTree y = tree(b);
  const double d = structural_distance(x, y);
  // d = 2 t / (n + t) with n nodes in both, so t = d n / (2 - d).
  return d * static_cast<double>(x.nodes.size() + y.nodes.size()) / (2 - d);
}

TEST(Distance, HandWorkedEdits) {
  EXPECT_NEAR(edits("a", "a"), 0, 1e-12);
  EXPECT_NEAR(edits("a", "b"), 1, 1e-12);
  EXPECT_NEAR(edits("a:1", "a:2"), 0.5, 1e-12);
  EXPECT_NEAR(edits("a(b)", "a"), 1, 1e-12);
  EXPECT_NEAR(edits("a(b,c)", "a(c)"), 1, 1e-12);
  EXPECT_NEAR(edits("a(b,c)", "a(c,b)"), 2, 1e-12);
  // The example of Zhang and Shasha (1989): delete c below d, insert c above d.
  EXPECT_NEAR(edits("f(d(a,c(b)),e)", "f(c(d(a,b)),e)"), 2, 1e-12);
  EXPECT_NEAR(edits("a(b(c(d)))", "a(d)"), 2, 1e-12);
  EXPECT_NEAR(edits("a(b(c,d),e)", "a(b:1(c,d),f)"), 1.5, 1e-12);
}

TEST(Distance, NormalisedIsBetweenZeroAndOne) {
  // One node against one other: t = 1, d = 2 / 3.
  EXPECT_NEAR(structural_distance(tree("a"), tree("b")), 2.0 / 3, 1e-12);
  // Nothing in common: t = 3 renames, d = 6 / 9.
  EXPECT_NEAR(structural_distance(tree("a(b,c)"), tree("x(y,z)")), 2.0 / 3, 1e-12);
  // Deep against flat and nothing in common stays at most 1.
  EXPECT_LE(structural_distance(tree("a(b(c(d)))"), tree("w(x,y,z)")), 1);
}

// A spine of `depth` inner nodes, each with a leaf on the side that its letter of `sides` (in turn) says.
CanonicalTree spine(int depth, const std::string& sides, const std::string& name) {
  std::string text;
  std::string end;
  for (int i = 0; i < depth; ++i) {
    const bool leaf_first = sides[static_cast<size_t>(i) % sides.size()] == 'l';
    text += name + std::to_string(i % 7) + (leaf_first ? "(x," : "(");
    end.insert(0, leaf_first ? ")" : ",x)");
  }
  return tree(text + name + end);
}

TEST(Distance, CombsOfTheLargestProgramsAreExact) {
  // 256 operations with a leaf each: one rename in each of the 256 + 1 nodes of the spine.
  for (const std::string sides : {"l", "r"}) {
    const CanonicalTree a = spine(256, sides, "a");
    const CanonicalTree b = spine(256, sides, "b");
    ASSERT_EQ(a.nodes.size(), 513U);
    EXPECT_NEAR(structural_distance(a, b), 2.0 * 257 / (513 + 513 + 257), 1e-12);
  }
}

TEST(Distance, BeyondTheBoundOperationsAreCompared) {
  const CanonicalTree a = spine(256, "lr", "a");
  const CanonicalTree b = spine(256, "lr", "b");
  const CanonicalTree swapped = spine(256, "rl", "a");
  EXPECT_EQ(structural_distance(a, a), 0);
  EXPECT_NEAR(structural_distance(a, b), 2.0 * 257 / (513 + 513 + 257), 1e-12);
  // The same operations in other places: not equal, so half an edit at least.
  EXPECT_NEAR(structural_distance(a, swapped), 2 * 0.5 / (513 + 513 + 0.5), 1e-12);
  EXPECT_EQ(structural_distance(a, swapped), structural_distance(swapped, a));
  const CanonicalTree shorter = spine(250, "lr", "a");
  EXPECT_NEAR(structural_distance(a, shorter), 2.0 * 12 / (513 + 501 + 12), 1e-12);
  EXPECT_EQ(distance_matrix({a, b, a})[1], structural_distance(b, a));
}

TEST(DistanceProperty, MirroredTreesAreAsFarApart) {
  const std::vector<std::string> shapes = {"l", "r", "lr", "llr", "rrl"};
  for (const std::string& one : shapes) {
    for (const std::string& other : shapes) {
      const auto flip = [](std::string sides) {
        for (char& side : sides) { side = side == 'l' ? 'r' : 'l'; }
        return sides;
      };
      EXPECT_EQ(structural_distance(spine(20, one, "a"), spine(17, other, "a")),
                structural_distance(spine(20, flip(one), "a"), spine(17, flip(other), "a")));
    }
  }
}

TEST(Distance, RelativesAreNearer) {
  const CanonicalTree centroid = canonical_tree(sample("centroid"));
  const CanonicalTree head_max = canonical_tree(sample("head-max centroid"));
  const CanonicalTree sub_quest = canonical_tree(sample("sub-block Quest"));
  EXPECT_LT(structural_distance(centroid, head_max), structural_distance(centroid, sub_quest));
}

std::vector<CanonicalTree> random_trees(int count, uint64_t seed) {
  std::vector<CanonicalTree> trees;
  for (int i = 0; i < count; ++i) {
    Rng rng(stream_key(seed, static_cast<uint64_t>(i)));
    trees.push_back(canonical_tree(random_policy(rng, small_model()).program));
  }
  return trees;
}

TEST(DistanceProperty, IsAMetric) {
  const int n = property_rounds(60, 200);
  const std::vector<CanonicalTree> trees = random_trees(n, 23);
  const std::vector<double> matrix = distance_matrix(trees);
  const auto d = [&](int i, int j) { return matrix[static_cast<size_t>(i * n + j)]; };
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      ASSERT_GE(d(i, j), 0);
      ASSERT_LE(d(i, j), 1);
      ASSERT_EQ(d(i, j), d(j, i));
      ASSERT_EQ(d(i, j), structural_distance(trees[static_cast<size_t>(i)], trees[static_cast<size_t>(j)]));
      for (int k = 0; k < n; ++k) { ASSERT_LE(d(i, k), d(i, j) + d(j, k) + 1e-12); }
    }
    ASSERT_EQ(d(i, i), 0);
  }
}

TEST(DistanceProperty, KnownTreesFindWhatComparingWithEachFinds) {
  const size_t n = static_cast<size_t>(property_rounds(60, 200));
  std::vector<CanonicalTree> trees = random_trees(static_cast<int>(n), 29);
  for (size_t i = 0; i < n; i += 7) { trees[i] = trees[i / 2]; }  // of equal ones the first counts
  KnownTrees known;
  std::vector<size_t> among;
  for (size_t i = 0; i < n; ++i) {
    std::optional<KnownTrees::Found> nearest;
    std::optional<KnownTrees::Found> within;
    for (size_t j = 0; j < i; ++j) {
      const double distance = structural_distance(trees[i], trees[j]);
      if (!nearest || distance < nearest->distance) { nearest = {j, distance}; }
      if (j % 3 == 0 && !within && distance < 0.5) { within = {j, distance}; }
    }
    const auto found = known.nearest(trees[i]);
    ASSERT_EQ(found.has_value(), nearest.has_value());
    if (found) { EXPECT_EQ(std::pair(found->tree, found->distance), std::pair(nearest->tree, nearest->distance)); }
    const auto first = known.first_within(trees[i], among, 0.5);
    ASSERT_EQ(first.has_value(), within.has_value());
    if (first) { EXPECT_EQ(std::pair(first->tree, first->distance), std::pair(within->tree, within->distance)); }
    if (i % 3 == 0) { among.push_back(i); }
    known.add(trees[i]);
  }
  EXPECT_EQ(known.size(), n);
}

TEST(Distance, MeanCountsCopiesAsZero) {
  const std::vector<CanonicalTree> trees = {tree("a"), tree("a"), tree("b")};
  EXPECT_NEAR(mean_pairwise_distance(trees), (0 + 2.0 / 3 + 2.0 / 3) / 3, 1e-12);
  EXPECT_EQ(mean_pairwise_distance({tree("a")}), 0);
  EXPECT_EQ(mean_pairwise_distance({}), 0);
}

}  // namespace
}  // namespace vortex::vflow
