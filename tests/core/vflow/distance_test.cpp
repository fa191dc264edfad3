#include "core/vflow/distance.h"

#include <gtest/gtest.h>

#include "core/vflow/generate.h"
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
      for (int k = 0; k < n; ++k) ASSERT_LE(d(i, k), d(i, j) + d(j, k) + 1e-12);
    }
    ASSERT_EQ(d(i, i), 0);
  }
}

TEST(Distance, MeanCountsCopiesAsZero) {
  const std::vector<CanonicalTree> trees = {tree("a"), tree("a"), tree("b")};
  EXPECT_NEAR(mean_pairwise_distance(trees), (0 + 2.0 / 3 + 2.0 / 3) / 3, 1e-12);
  EXPECT_EQ(mean_pairwise_distance({tree("a")}), 0);
  EXPECT_EQ(mean_pairwise_distance({}), 0);
}

}  // namespace
}  // namespace vortex::vflow
