#include "core/vflow/graph/row_pages.h"

#include <gtest/gtest.h>

#include "core/vflow/vary/config_moves.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

EngineConfig config_of(int topk_val, double ratio) {
  EngineConfig config;
  config.topk_val = topk_val;
  config.topk_ratio = ratio;
  config.reserved_bos = 1;
  config.reserved_eos = 2;
  return config;
}

TEST(RowPages, AreTheBudgetsOfOneList) {
  const Program program = plain_policy(small_model(), Dialect::kGqa).program;
  const RowPages few = row_pages(program, config_of(8, 0), 100);
  EXPECT_EQ(few.least, 11);
  EXPECT_EQ(few.most, 11);
  EXPECT_EQ(few.reserved, 3);
  EXPECT_EQ(row_pages(program, config_of(8, 0.5), 100).most, 50);
  const RowPages all = row_pages(program, config_of(8, 0), 11);
  EXPECT_EQ(all.least, 11);
  EXPECT_EQ(all.reserved, 11) << "nothing is chosen where all fit";
}

// Two lists, of 4 and of 6 pages.
TEST(RowPages, OfAUnionAreThoseOfItsListsWhateverTheBudget) {
  Program program;
  const auto add = [&](Op op, std::vector<int> inputs, int k) {
    Node node;
    node.op = op;
    node.inputs = std::move(inputs);
    node.attrs.k = k;
    program.indexer.nodes.push_back(node);
  };
  add(Op::kMean, {}, 0);
  add(Op::kTopKTable, {0}, 4);
  add(Op::kTopKTable, {0}, 6);
  add(Op::kTopKTable, {0}, 99);  // of no use
  add(Op::kUnion, {1, 2}, 0);
  for (const double ratio : {0.0, 0.5}) {
    const RowPages row = row_pages(program, config_of(4, ratio), 100);
    EXPECT_EQ(row.least, 3 + 6) << ratio;
    EXPECT_EQ(row.most, 3 + 4 + 6) << ratio;
    EXPECT_EQ(row.reserved, 3);
  }
  EXPECT_EQ(row_pages(program, config_of(4, 0), 10).most, 10) << "no more than there are";
  EXPECT_EQ(row_pages(program, config_of(4, 0.5), 7).least, 7);
}

}  // namespace
}  // namespace vortex::vflow
