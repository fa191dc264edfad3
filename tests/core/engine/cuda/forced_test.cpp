// Forced decoding on the device: what teacher forcing tells, and the CPU engine's recall.
#include "tests/core/engine/cuda/support.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 1024;
constexpr size_t kVocab = 1024;
constexpr size_t kHeads = 4;

std::vector<ForcedRequest> forced_requests() {
  std::vector<ForcedRequest> requests;
  for (const int prompt : {700, 30, 256, 511, 1}) {
    ForcedRequest forced;
    forced.request.prompt = random_tokens(prompt, static_cast<uint64_t>(prompt));
    forced.continuation = random_tokens(8 + static_cast<int>(requests.size()) * 9, 3);
    for (const int32_t token : forced.continuation) { forced.wanted.push_back({token, 17, 900}); }
    requests.push_back(std::move(forced));
  }
  return requests;
}

std::vector<Forced> force(Engine& engine, const std::vector<ForcedRequest>& requests, const ForcedOptions& options,
                          RunStats* stats = nullptr) {
  auto forced = engine.force_decode(requests, options, stats);
  EXPECT_TRUE(forced.ok()) << (forced.ok() ? "" : forced.error().message);
  return forced.ok() ? std::move(*forced) : std::vector<Forced>();
}

TEST_F(CudaEngineTest, ForcedDecodingTellsWhatTeacherForcingTells) {
  const auto engine = chain_engine(options_of(3, kContext));
  ASSERT_TRUE(engine->set_policy(load_policy("block_topk", budget(6, {0}), kContext)).ok());
  const std::vector<ForcedRequest> requests = forced_requests();
  RunStats stats;
  const std::vector<Forced> forced = force(*engine, requests, {4, 0}, &stats);
  ASSERT_EQ(forced.size(), requests.size());
  EXPECT_GT(stats.sparse_layer_calls, 0);
  for (size_t r = 0; r < requests.size(); ++r) {
    SCOPED_TRACE(r);
    const ForcedRequest& request = requests[r];
    const auto whole = engine->teacher_force(request.request, request.continuation, {}, nullptr).value();
    for (size_t at = 0; at < request.continuation.size(); ++at) {
      const float* row = &whole[at * kVocab];
      EXPECT_NEAR(forced[r].log_probs[at], row[request.continuation[at]], 2e-5);
      ASSERT_EQ(forced[r].wanted[at].size(), 3U);
      EXPECT_NEAR(forced[r].wanted[at][2], row[900], 2e-5);
      ASSERT_EQ(forced[r].top[at].size(), 4U);
      EXPECT_EQ(forced[r].top[at][0], std::max_element(row, row + kVocab) - row);
      EXPECT_NEAR(forced[r].top_log_probs[at][3], row[forced[r].top[at][3]], 2e-5);
      for (const AttentionRecall& recall : forced[r].recall) { EXPECT_EQ(recall.looks, 0); }
    }
  }
}

TEST_F(CudaEngineTest, ForcedDecodingDependsOnTheRequestAlone) {
  const auto wide = chain_engine(options_of(8, kContext));
  const auto narrow = chain_engine(options_of(1, kContext));
  const vflow::Policy policy = load_policy("quest", budget(6, {0}), kContext);
  ASSERT_TRUE(wide->set_policy(policy).ok());
  ASSERT_TRUE(narrow->set_policy(policy).ok());
  const std::vector<Forced> together = force(*wide, forced_requests(), {2, 4});
  const std::vector<Forced> alone = force(*narrow, forced_requests(), {2, 4});
  ASSERT_EQ(together.size(), alone.size());
  for (size_t r = 0; r < together.size(); ++r) {
    EXPECT_EQ(together[r].log_probs, alone[r].log_probs);
    EXPECT_EQ(together[r].top, alone[r].top);
    for (size_t i = 0; i < together[r].recall.size(); ++i) {
      EXPECT_EQ(together[r].recall[i].mass, alone[r].recall[i].mass);
      EXPECT_EQ(together[r].recall[i].index_chosen, alone[r].recall[i].index_chosen);
      EXPECT_EQ(together[r].recall[i].looks, alone[r].recall[i].looks);
    }
  }
}

// Queries and keys differ between the devices by bf16 rounding, so a page with nearly the last chosen one's score may
// be chosen in its place.
TEST_F(CudaEngineTest, RecallIsTheCpuEngines) {
  const auto engine = chain_engine(options_of(5, kContext));
  const auto cpu_engine = chain_engine_on_cpu(options_of(5, kContext));
  for (const char* name : {"block_topk", "quest"}) {
    SCOPED_TRACE(name);
    const vflow::Policy policy = load_policy(name, budget(6, {0}), kContext);
    ASSERT_TRUE(engine->set_policy(policy).ok());
    ASSERT_TRUE(cpu_engine->set_policy(policy).ok());
    const std::vector<Forced> device = force(*engine, forced_requests(), {1, 2});
    const std::vector<Forced> host = force(*cpu_engine, forced_requests(), {1, 2});
    ASSERT_EQ(device.size(), host.size());
    for (size_t r = 0; r < device.size(); ++r) {
      ASSERT_EQ(device[r].recall.size(), host[r].recall.size());
      for (size_t i = 0; i < device[r].recall.size(); ++i) {
        SCOPED_TRACE(::testing::Message() << "request " << r << " layer " << i / kHeads << " head " << i % kHeads);
        const AttentionRecall& a = device[r].recall[i];
        const AttentionRecall& b = host[r].recall[i];
        EXPECT_EQ(a.looks, b.looks);
        EXPECT_EQ(a.looks == 0, i < kHeads) << "layer 0 is dense";
        EXPECT_NEAR(a.mass, b.mass, 0.05);
        EXPECT_NEAR(a.mass_chosen, b.mass_chosen, 0.08);
        EXPECT_NEAR(a.index, b.index, 0.15);
        EXPECT_NEAR(a.index_chosen, b.index_chosen, 0.2);
      }
    }
  }
}

TEST_F(CudaEngineTest, EverythingAttendedIsRecalled) {
  const auto engine = chain_engine(options_of(5, kContext));
  ASSERT_TRUE(engine->set_policy(load_policy("block_topk", budget(64), kContext)).ok());
  for (const Forced& forced : force(*engine, forced_requests(), {1, 1})) {
    for (const AttentionRecall& recall : forced.recall) {
      EXPECT_GT(recall.looks, 0);
      EXPECT_NEAR(recall.mass, 1, 1e-6);
      EXPECT_NEAR(recall.mass_chosen, 1, 1e-6);
      EXPECT_EQ(recall.index, 1);
      EXPECT_EQ(recall.index_chosen, 1);
    }
  }
}

}  // namespace
}  // namespace vortex::engine
