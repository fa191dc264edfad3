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

vflow::Policy block_topk(int pages, const std::vector<int>& dense_layers) {
  const std::string base = std::string(VORTEX_SOURCE_DIR) + "/examples/policies/block_topk";
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

}  // namespace
}  // namespace vortex::engine
