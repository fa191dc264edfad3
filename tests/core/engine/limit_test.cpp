// The limit model against figures worked out by hand for Qwen3-1.7B (GB, one centroid of 2 bytes a page and dimension).
#include "core/engine/limit.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "base/files.h"

namespace vortex::engine {
namespace {

model::ModelConfig qwen() {
  model::ModelConfig c;
  c.num_layers = 28;
  c.hidden_size = 2048;
  c.num_q_heads = 16;
  c.num_kv_heads = 8;
  c.head_dim = 128;
  c.intermediate_size = 6144;
  c.vocab_size = 151936;
  return c;
}

vflow::Policy policy_at(const std::string& path, int pages, const std::vector<int>& dense_layers) {
  const std::string base = std::string(VORTEX_SOURCE_DIR) + "/" + path;
  nlohmann::json config = nlohmann::json::parse(read_file(base + ".json").value());
  config["vortex_topk_val"] = pages - 3;
  config["vortex_topk_ratio"] = 0.0;
  config["vortex_layers_skip"] = dense_layers;
  config["vortex_schedule_policy"] = nullptr;
  const vflow::PolicySource source{read_file(base + ".py").value(), config.dump()};
  vflow::CheckReport report = vflow::check_policy(source, model::geometry_of(qwen(), 32768, 0));
  EXPECT_TRUE(report.policy.has_value()) << vflow::render(report.diagnostics);
  return std::move(*report.policy);
}

vflow::Policy block_topk(int pages, const std::vector<int>& dense_layers) {
  return policy_at("examples/policies/block_topk", pages, dense_layers);
}

double gigabytes(const vflow::Policy* policy, vflow::Dtype kv, int requests, int tokens) {
  const std::vector<int> lengths(static_cast<size_t>(requests), tokens);
  return static_cast<double>(step_bytes(qwen(), policy, kv, lengths).total()) * 1e-9;
}

TEST(Limit, DenseStepsReadWeightsAndAllOfTheCache) {
  EXPECT_EQ(step_bytes(qwen(), nullptr, vflow::Dtype::kBf16, {}).total(), 3440902144);
  EXPECT_NEAR(gigabytes(nullptr, vflow::Dtype::kBf16, 32, 4096), 18.5, 0.05);
  EXPECT_NEAR(gigabytes(nullptr, vflow::Dtype::kBf16, 32, 16384), 63.6, 0.05);
  EXPECT_NEAR(gigabytes(nullptr, vflow::Dtype::kFp8E4m3, 32, 16384), 33.5, 0.05);
}

TEST(Limit, SparseStepsReadSelectedPagesAndSummaries) {
  const vflow::Policy policy = block_topk(64, {});
  EXPECT_NEAR(gigabytes(&policy, vflow::Dtype::kBf16, 32, 16384), 9.1, 0.05);
  EXPECT_NEAR(gigabytes(&policy, vflow::Dtype::kBf16, 64, 16384), 14.7, 0.05);
  const vflow::Policy wide = block_topk(128, {});
  EXPECT_NEAR(gigabytes(&wide, vflow::Dtype::kBf16, 32, 16384), 12.8, 0.05);
}

TEST(Limit, DenseLayersOfAPolicyReadEverything) {
  const vflow::Policy none = block_topk(64, {});
  const vflow::Policy first = block_topk(64, {0});
  const double more =
      gigabytes(&first, vflow::Dtype::kBf16, 64, 16384) - gigabytes(&none, vflow::Dtype::kBf16, 64, 16384);
  // One layer reads 16384 tokens instead of 64 pages and 1022 summaries.
  EXPECT_NEAR(more, 64 * ((16384 - 1024) * 4096.0 - 1022 * 2048.0) * 1e-9, 1e-6);
}

TEST(Limit, RowsThatFitTheBudgetAreNotScored) {
  const vflow::Policy policy = block_topk(64, {});
  const std::vector<int> lengths = {1000};
  const StepBytes bytes = step_bytes(qwen(), &policy, vflow::Dtype::kBf16, lengths);
  EXPECT_EQ(bytes.summaries, 0);
  EXPECT_EQ(bytes.kv, 1000LL * 114688);
}

// 48 requests of 8192 tokens in 28 layers score 510 blocks for each of 8 heads.
constexpr int64_t kScored = int64_t{48} * 28 * 8 * 510;

TEST(Limit, StateIsReadAndWritten) {
  const vflow::Policy policy = policy_at("tests/bench/policies/wide_state", 64, {});
  const std::vector<int> lengths(48, 8192);
  const StepBytes bytes = step_bytes(qwen(), &policy, vflow::Dtype::kBf16, lengths);
  EXPECT_EQ(bytes.summaries, kScored * 2 * 256);  // the centroid and the state
  EXPECT_EQ(bytes.state, kScored * 256);
  EXPECT_EQ(bytes.total(), bytes.weights + bytes.kv + bytes.summaries + bytes.state);
  EXPECT_EQ(special_results(qwen(), &policy, lengths), 0);
}

TEST(Limit, SpecialFunctionsTakeTheirTime) {
  const vflow::Policy policy = policy_at("tests/bench/policies/channel_gate", 64, {});
  const std::vector<int> lengths(48, 8192);
  const StepBytes bytes = step_bytes(qwen(), &policy, vflow::Dtype::kBf16, lengths);
  const double special = special_results(qwen(), &policy, lengths);
  EXPECT_EQ(special, static_cast<double>(kScored) * 2 * 256);
  EXPECT_EQ(special_results(qwen(), nullptr, lengths), 0);
  const auto total = static_cast<double>(bytes.total());
  EXPECT_EQ(limit_bytes(bytes, special, {3e12, 0}), total);
  EXPECT_EQ(limit_bytes(bytes, special, {3e12, 1e15}), total);  // hidden behind what scoring reads
  EXPECT_NEAR(limit_bytes(bytes, special, {3e12, 4e12}), static_cast<double>(bytes.weights + bytes.kv) + special * 0.75,
              1);
}

// MiniMax-M2 (docs/benchmarks/tensor-parallel.md): what four ranks move together is what one would, but for the router,
// which is everybody's.
TEST(Limit, RanksShareAStep) {
  model::ModelConfig c = qwen();
  c.num_layers = 62;
  c.hidden_size = 3072;
  c.num_q_heads = 48;
  c.qk_norm = model::QkNorm::kAllHeads;
  c.vocab_size = 200064;
  c.intermediate_size = 1536;
  c.experts.emplace();
  c.experts->layers.assign(62, true);
  c.experts->count = 256;
  c.experts->per_token = 8;
  c.experts->inner = 1536;
  const std::vector<int> lengths(64, 8192);
  const StepBytes whole = step_bytes(c, nullptr, vflow::Dtype::kBf16, lengths, vflow::Dtype::kFp8E4m3);
  const RankBytes one = rank_bytes(c, 1, nullptr, vflow::Dtype::kBf16, lengths, vflow::Dtype::kFp8E4m3);
  EXPECT_EQ(one.card.total(), whole.total());
  EXPECT_EQ(one.exchanges, 0);
  const RankBytes four = rank_bytes(c, 4, nullptr, vflow::Dtype::kBf16, lengths, vflow::Dtype::kFp8E4m3);
  EXPECT_EQ(4 * four.card.kv, whole.kv);
  const double routers = 62.0 * 3072 * 256 * 2;
  EXPECT_NEAR(4.0 * static_cast<double>(four.card.weights), static_cast<double>(whole.weights) + 3 * routers, 1e3);
  EXPECT_EQ(four.exchanges, 3 * 62 + 1);
  // Of each sum of 64 rows of 6,144 bytes three halves, and 64 rows of a quarter of the logits to three others.
  const double sums = 124 * 1.5 * 64 * 6144;
  const double logits = 3.0 * 64 * 50016 * 4;
  EXPECT_NEAR(static_cast<double>(four.link), sums + logits, 0.01 * sums);
  EXPECT_NEAR(least_seconds(four, 3e12),
              static_cast<double>(four.card.total()) / 3e12 + static_cast<double>(four.link) / 396e9 + 187 * 1.8e-6,
              1e-9);
}

}  // namespace
}  // namespace vortex::engine
