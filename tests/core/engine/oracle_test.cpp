// The oracle of core/engine/page_shares.h.
#include <cmath>

#include "base/files.h"
#include "core/engine/page_shares.h"
#include "core/vflow/policy.h"
#include "kernels/cpu/bf16.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using testing::TinyModel;

constexpr int kVocab = 50;
const TinyModel kShape{.layers = 3};

EngineOptions options_of(int threads, int max_batch) {
  EngineOptions options;
  options.threads = threads;
  options.max_batch = max_batch;
  options.max_context = 400;
  return options;
}

vflow::EngineConfig budget_of(int pages, std::vector<int> dense_layers = {}) {
  vflow::EngineConfig budget;
  budget.topk_val = pages;
  budget.layers_skip = std::move(dense_layers);
  return budget;
}

std::vector<ForcedRequest> some_runs() {
  std::vector<ForcedRequest> runs;
  for (const int length : {300, 17, 256, 128, 222}) {
    ForcedRequest run;
    run.request.prompt = testing::random_tokens(length, kVocab, static_cast<uint64_t>(length));
    run.continuation = testing::random_tokens(1 + length / 10, kVocab, static_cast<uint64_t>(length) + 1);
    runs.push_back(std::move(run));
  }
  return runs;
}

// Log-probabilities of the continuations, [run][position].
std::vector<std::vector<float>> force(Engine& engine) {
  const auto forced = engine.force_decode(some_runs(), {}, nullptr);
  EXPECT_TRUE(forced.ok()) << (forced.ok() ? "" : forced.error().message);
  std::vector<std::vector<float>> log_probs;
  for (const Forced& one : *forced) { log_probs.push_back(one.log_probs); }
  return log_probs;
}

TEST(Oracle, ABudgetOfAllPagesIsDenseToTheBit) {
  auto engine = testing::make_engine(kShape, options_of(2, 5));
  const auto dense = force(*engine);
  ASSERT_TRUE(engine->set_oracle(budget_of(25)).ok());
  EXPECT_EQ(force(*engine), dense);
  ASSERT_TRUE(engine->set_oracle(budget_of(2)).ok());
  EXPECT_NE(force(*engine), dense);
  ASSERT_TRUE(engine->set_oracle(budget_of(2, {0, 1, 2})).ok());
  EXPECT_EQ(force(*engine), dense) << "all layers dense";
}

// No other choice of as many pages holds more of attention than the oracle's.
TEST(Oracle, TakesTheLargestShares) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  ASSERT_TRUE(engine->set_oracle(budget_of(4, {1})).ok());
  int rows = 0;
  const AttentionObserver observer = [&](const AttentionView& view) {
    if (view.selection == nullptr) { return; }
    const compile::PagedTensor& k = view.cache->k;
    std::vector<float> scratch;
    for (int head = 0; head < k.kv_heads; ++head, ++rows) {
      const int n = (view.seq_lens[0] + 15) / 16;
      std::vector<float> shares(static_cast<size_t>(n));
      page_shares(k, {view.q + head * view.group * k.cols, view.block_table, head, view.seq_lens[0]}, view.group,
                  1 / std::sqrt(static_cast<float>(k.cols)), scratch, shares.data());
      const int32_t* chosen = &view.selection->blocks[static_cast<size_t>(head * view.selection->stride)];
      const int count = view.selection->counts[static_cast<size_t>(head)];
      ASSERT_EQ(count, 7) << "the first, four, the last two";
      float least_taken = 1;
      for (int i = 1; i < 5; ++i) { least_taken = std::min(least_taken, shares[static_cast<size_t>(chosen[i])]); }
      for (int block = 1; block < n - 2; ++block) {
        if (std::find(chosen, chosen + count, block) != chosen + count) { continue; }
        EXPECT_LE(shares[static_cast<size_t>(block)], least_taken);
      }
    }
  };
  const ForcedRequest run = some_runs()[0];
  ASSERT_TRUE(engine->teacher_force(run.request, run.continuation, observer, nullptr).ok());
  EXPECT_EQ(rows, 2 * kShape.kv_heads * 30) << "two sparse layers, thirty steps";
}

TEST(Oracle, RecallSaysThatItTakesWhatIsBest) {
  auto engine = testing::make_engine(kShape, options_of(1, 5));
  ASSERT_TRUE(engine->set_oracle(budget_of(3)).ok());
  const auto forced = engine->force_decode(some_runs(), {1, 1}, nullptr);
  ASSERT_TRUE(forced.ok());
  for (const AttentionRecall& recall : (*forced)[0].recall) {
    EXPECT_EQ(recall.looks, 30);
    EXPECT_DOUBLE_EQ(recall.index_chosen, 1.0);
  }
}

// One request, two query heads on one kv head, pages of two tokens, head_dim 1; physical pages reversed. Keys are
// logarithms of small integers, so that the softmax weights of a query of 1 are these integers.
TEST(PageShares, AddUpTheWeightsOfEachPage) {
  const float weights[5] = {1, 2, 4, 8, 1};
  std::vector<cpu::Bf16> keys(6, cpu::float_to_bf16(50));  // the free slot must not be read
  const int32_t table[3] = {2, 1, 0};
  for (int token = 0; token < 5; ++token) {
    keys[static_cast<size_t>(table[token / 2] * 2 + token % 2)] = cpu::float_to_bf16(std::log(weights[token]));
  }
  const float q[2] = {1, 0};  // the second head attends evenly
  const compile::PagedTensor k{keys.data(), vflow::Dtype::kBf16, 1, 2, 1};
  std::vector<float> scratch;
  float shares[3];
  page_shares(k, {q, table, 0, 5}, 2, 1.0F, scratch, shares);
  EXPECT_NEAR(shares[0], (3.0 / 16 + 2.0 / 5) / 2, 0.002);
  EXPECT_NEAR(shares[1], (12.0 / 16 + 2.0 / 5) / 2, 0.002);
  EXPECT_NEAR(shares[2], (1.0 / 16 + 1.0 / 5) / 2, 0.002);
}

TEST(BestBlocks, KeepReservedOnesAndTakeTheLowerOfTwoEqual) {
  const float shares[8] = {9, 1, 3, 2, 3, 0, 9, 9};
  int32_t chosen[8];
  const auto taken = [&](int pages) {
    const int count = best_blocks(budget_of(pages), shares, 8, chosen);
    return std::vector<int32_t>(chosen, chosen + count);
  };
  EXPECT_EQ(taken(1), (std::vector<int32_t>{0, 2, 6, 7}));
  EXPECT_EQ(taken(3), (std::vector<int32_t>{0, 2, 3, 4, 6, 7}));
  EXPECT_EQ(taken(5), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7}));
}

}  // namespace
}  // namespace vortex::engine
