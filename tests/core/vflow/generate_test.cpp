#include "core/vflow/vary/generate.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/op_table.h"
#include "core/vflow/graph/ranges.h"
#include "core/vflow/vary/config_moves.h"
#include "tests/core/vflow/samples.h"

namespace vortex::vflow {
namespace {

TEST(GenerateProperty, ChecksIsTameAndReachesEveryOperation) {
  const int rounds = property_rounds(2000, 10000);
  std::map<std::pair<Side, Op>, int> seen;
  std::set<int> block_sizes;
  std::set<std::string> keys;
  int fallbacks = 0;
  for (int i = 0; i < rounds; ++i) {
    Rng rng(stream_key(3, static_cast<uint64_t>(i)));
    const Policy policy = random_policy(rng, small_model());
    const PolicySource source = print_policy(policy);
    ASSERT_TRUE(check_policy(source, small_model()).policy) << source.module_text;
    ASSERT_TRUE(stays_finite(policy.program)) << print_policy(policy).module_text;
    fallbacks += policy.program.name == "block_topk";
    block_sizes.insert(policy.config.block_size);
    keys.insert(policy_key(policy));
    for (const Node& node : policy.program.cache.nodes) { ++seen[{Side::kCache, node.op}]; }
    for (const Node& node : policy.program.indexer.nodes) { ++seen[{Side::kIndexer, node.op}]; }
  }
  EXPECT_EQ(fallbacks, 0);
  EXPECT_EQ(block_sizes, (std::set<int>{8, 16, 32}));
  EXPECT_GT(keys.size(), static_cast<size_t>(rounds) * 9 / 10);
  for (const OpInfo& info : op_table()) {
    if (info.on_cache) { EXPECT_GE((seen[{Side::kCache, info.op}]), 5) << "cache " << info.name; }
    if (info.on_indexer) { EXPECT_GE((seen[{Side::kIndexer, info.op}]), 5) << "indexer " << info.name; }
  }
}

TEST(Generate, SameSeedSamePolicy) {
  Rng a(9);
  Rng b(9);
  const PolicySource first = print_policy(random_policy(a, small_model()));
  const PolicySource second = print_policy(random_policy(b, small_model()));
  EXPECT_EQ(first.module_text, second.module_text);
  EXPECT_EQ(first.config_text, second.config_text);
  EXPECT_EQ(a.next(), b.next());
}

TEST(Generate, OptionsAreKept) {
  GenerateOptions options;
  options.save_load = false;
  options.mla = true;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Rng rng(seed);
    const Policy policy = random_policy(rng, small_mla_model(), options);
    EXPECT_EQ(policy.program.dialect, Dialect::kMla);
    for (const Node& node : policy.program.indexer.nodes) { EXPECT_NE(node.op, Op::kSave); }
  }
}

}  // namespace
}  // namespace vortex::vflow
