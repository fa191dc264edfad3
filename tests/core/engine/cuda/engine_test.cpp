// The CUDA engine beside the CPU engine on the shipped model, and against itself.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>

#include "core/engine/cuda/device.h"
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/engine/cuda/unwritten.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 1024;

void expect_near_cpu(const std::optional<vflow::Policy>& policy, const CudaOptions& cuda, double mean_kl,
                     double agreement) {
  const auto cpu_engine = chain_engine_on_cpu(options_of(1, kContext));
  const auto cuda_engine = chain_engine(options_of(1, kContext), cuda);
  ASSERT_TRUE(cpu_engine->set_policy(policy).ok());
  const Status set = cuda_engine->set_policy(policy);
  ASSERT_TRUE(set.ok()) << set.error().message;
  for (const int prompt : {1, 15, 16, 17, 64, 700}) {
    SCOPED_TRACE(prompt);
    Request request;
    request.prompt = random_tokens(prompt, static_cast<uint64_t>(prompt));
    const std::vector<int32_t> continuation = random_tokens(40, 3);
    const auto expected = cpu_engine->teacher_force(request, continuation, {}, nullptr).value();
    const auto actual = cuda_engine->teacher_force(request, continuation, {}, nullptr);
    ASSERT_TRUE(actual.ok()) << actual.error().message;
    const Distance d = distance(expected, *actual, 1024);
    EXPECT_LT(d.mean, mean_kl);
    EXPECT_FALSE(std::isnan(d.worst));
    EXPECT_GT(d.agree, agreement);
  }
}

TEST_F(CudaEngineTest, DenseLogitsAreTheCpuEnginesToRounding) { expect_near_cpu(std::nullopt, {}, 2e-3, 0.9); }

TEST_F(CudaEngineTest, SparseLogitsAreTheCpuEnginesToRounding) {
  expect_near_cpu(load_policy("block_topk", budget(6, {0}), kContext), {}, 5e-3, 0.9);
}

// Policies that go through the compiler. A page whose score is near the last one chosen may differ between devices,
// whose queries and keys differ by rounding.
TEST_F(CudaEngineTest, CompiledPoliciesStayNear) {
  for (const char* name : {"quest", "gqa_softmax_centroid", "value_energy_gate", "running_average"}) {
    SCOPED_TRACE(name);
    expect_near_cpu(load_policy(name, budget(12, {0}), kContext), {}, 0.05, 0.8);
  }
}

// On random tokens distributions are flat, so a little noise already moves the most probable token. 40 positions tell
// its share to 0.06: the bounds are three of that below what was seen on an H100 (0.83 and 0.78 at the least).
TEST_F(CudaEngineTest, Fp8KvStaysNear) {
  CudaOptions cuda;
  cuda.kv_dtype = vflow::Dtype::kFp8E4m3;
  expect_near_cpu(std::nullopt, cuda, 0.05, 0.65);
  cuda.kv_dtype = vflow::Dtype::kFp8E5m2;
  expect_near_cpu(std::nullopt, cuda, 0.15, 0.6);
}

// The same KV must come from a snapshot as from a fresh prefill, and dense decoding must go on alike.
TEST_F(CudaEngineTest, SnapshotEqualsRecompute) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("vortex-cuda-test-" + std::to_string(::getpid()));
  const auto engine = chain_engine(options_of(4, kContext));
  Request request;
  request.prompt = random_tokens(300, 1);
  request.max_new_tokens = 40;
  request.ignore_eos = true;
  const auto fresh = tokens_of(*engine, {request});
  const auto prefix = engine->prefix(request.prompt, folder);
  ASSERT_TRUE(prefix.ok()) << prefix.error().message;
  EXPECT_EQ(*prefix, nullptr) << "nobody keeps it";
  const auto snapshot = engine->snapshot(request.prompt, folder);
  ASSERT_TRUE(snapshot.ok()) << snapshot.error().message;
  request.prefix = *snapshot;
  RunStats stats;
  EXPECT_EQ(tokens_of(*engine, {request}, &stats), fresh);
  EXPECT_EQ(stats.prefill_tokens, 0);
  EXPECT_FALSE(std::filesystem::exists(folder)) << "a GPU's snapshots are in memory alone";
}

TEST_F(CudaEngineTest, BudgetForAllPagesIsDenseToTheBit) {
  const auto engine = chain_engine(options_of(8, 512));
  const auto requests = mixed_requests(8, 400);
  const auto dense = tokens_of(*engine, requests);
  const auto dense_log_probs = engine->teacher_force(requests[5], random_tokens(30, 9), {}, nullptr).value();
  ASSERT_TRUE(engine->set_policy(load_policy("block_topk", budget(32), 512)).ok());
  RunStats stats;
  EXPECT_EQ(tokens_of(*engine, requests, &stats), dense);
  EXPECT_EQ(stats.pages_attended, stats.pages_visible);
  EXPECT_EQ(stats.dense_layer_calls, 0);
  EXPECT_GT(stats.sparse_layer_calls, 0);
  EXPECT_EQ(engine->teacher_force(requests[5], random_tokens(30, 9), {}, nullptr).value(), dense_log_probs);
}

TEST_F(CudaEngineTest, TokensDependOnNothingButTheRequest) {
  const auto requests = mixed_requests(20, 400);
  const auto wide = chain_engine(options_of(20, 512));
  const auto narrow = chain_engine(options_of(3, 512));
  for (const bool sparse : {false, true}) {
    SCOPED_TRACE(sparse);
    std::optional<vflow::Policy> policy;
    if (sparse) { policy = load_policy("block_topk", budget(4, {0}), 512); }
    ASSERT_TRUE(wide->set_policy(policy).ok());
    ASSERT_TRUE(narrow->set_policy(policy).ok());
    const auto together = tokens_of(*wide, requests);
    EXPECT_EQ(tokens_of(*wide, requests), together) << "a rerun differs";
    EXPECT_EQ(tokens_of(*narrow, requests), together) << "another batch differs";
    for (const size_t alone : {size_t{0}, size_t{7}, size_t{19}}) {
      EXPECT_EQ(tokens_of(*wide, {requests[alone]})[0], together[alone]) << alone;
    }
  }
}

TEST_F(CudaEngineTest, WaitsWhenThePoolRunsDry) {
  const auto requests = mixed_requests(12, 200);
  const auto roomy = chain_engine(options_of(12, 300));
  const auto expected = tokens_of(*roomy, requests);
  // One request of 300 tokens needs 19 pages of 16 x 4 heads x 64 x 2 x 2 bytes x 4 layers.
  const int64_t page = 16LL * 4 * 64 * 2 * 2 * 4;
  for (const int pages : {19, 25, 60}) {
    SCOPED_TRACE(pages);
    const auto tight = chain_engine(options_of(12, 300, pages * page));
    RunStats stats;
    EXPECT_EQ(tokens_of(*tight, requests, &stats), expected);
    EXPECT_EQ(tokens_of(*tight, requests, &stats), expected) << "pages were lost";
  }
}

TEST_F(CudaEngineTest, GivesItsMemoryUpAndGoesOn) {
  const auto requests = mixed_requests(6, 200);
  const vflow::Policy policy = load_policy("quest", budget(4, {0}), 512);
  const auto engine = chain_engine(options_of(6, 512));
  ASSERT_TRUE(engine->set_policy(policy).ok());
  const auto expected = tokens_of(*engine, requests);
  engine->share_memory(0);
  ASSERT_TRUE(engine->set_policy(policy).ok());
  EXPECT_NE(engine->executable(), nullptr) << "it is compiled all the same";
  const auto parked = engine->generate(requests, nullptr);
  ASSERT_FALSE(parked.ok());
  EXPECT_EQ(parked.error().blame, Blame::kInternal);
  for (const int sharers : {3, 1}) {
    engine->share_memory(sharers);
    ASSERT_TRUE(engine->set_policy(policy).ok());
    EXPECT_EQ(tokens_of(*engine, requests), expected) << sharers;
  }
}

// A policy that would have room were the device its engine's alone is not refused for what others hold of it.
TEST_F(CudaEngineTest, MemoryThatOthersHoldIsNoFaultOfAPolicy) {
  const vflow::Policy policy = load_policy("quest", budget(4, {0}), 512);
  const auto engine = chain_engine(options_of(2, 512));
  engine->share_memory(0);
  ASSERT_TRUE(engine->set_policy(policy).ok());
  size_t free = 0;
  size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  DeviceMemory others;
  ASSERT_TRUE(others.allocate(free - (size_t{512} << 20)).ok());
  engine->share_memory(2);
  const Status refused = engine->set_policy(policy);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kEnvironment) << refused.error().message;
  others = DeviceMemory();
  EXPECT_TRUE(engine->set_policy(policy).ok());
}

TEST_F(CudaEngineTest, RefusesWhatItDoesNotCover) {
  const auto engine = chain_engine(options_of(2, 256));
  Request request;
  request.prompt = random_tokens(250, 1);
  request.max_new_tokens = 10;
  const auto too_long = engine->generate({request}, nullptr);
  ASSERT_FALSE(too_long.ok());
  EXPECT_EQ(too_long.error().blame, Blame::kCandidate);
  request.prompt = {5000};
  EXPECT_FALSE(engine->generate({request}, nullptr).ok());
  const auto no_room = make_cuda_engine(model::load_model(kChainModel).value(), options_of(1, 4096, 1 << 16));
  ASSERT_FALSE(no_room.ok());
  EXPECT_EQ(no_room.error().blame, Blame::kCandidate);
}

TEST_F(CudaEngineTest, NothingUnwrittenIsRead) {
  auto runner = Runner::make(model::load_model(kChainModel).value(), options_of(1, 512), {});
  ASSERT_TRUE(runner.ok()) << runner.error().message;
  ASSERT_TRUE((*runner)->set_policy(load_policy("block_topk", budget(4), 512)).ok());
  const auto clean = logits_after_steps(**runner, random_tokens(300, 1), false);
  const auto poisoned = logits_after_steps(**runner, random_tokens(300, 1), true);
  EXPECT_EQ(clean, poisoned);
}

TEST_F(CudaEngineTest, ObserversSeeEveryLayer) {
  const auto engine = chain_engine(options_of(1, 512));
  const auto cpu_engine = chain_engine_on_cpu(options_of(1, 512));
  const vflow::Policy policy = load_policy("block_topk", budget(4, {0}), 512);
  ASSERT_TRUE(engine->set_policy(policy).ok());
  ASSERT_TRUE(cpu_engine->set_policy(policy).ok());
  Request request;
  request.prompt = random_tokens(200, 1);
  struct Seen {
    std::vector<int> layers;
    std::vector<float> q;
    std::vector<float> k;  // of the newest token
    std::vector<int32_t> last_blocks;
  };
  const auto watch = [&](Engine& of) {
    Seen seen;
    const AttentionObserver observer = [&](const AttentionView& view) {
      seen.layers.push_back(view.layer);
      seen.q.insert(seen.q.end(), view.q, view.q + 8 * 64);
      const int token = view.seq_lens[0] - 1;
      const auto* k = static_cast<const cpu::Bf16*>(view.cache->k.data);
      const int64_t row = (int64_t{view.block_table[token / 16]} * 4 + 3) * 16 + token % 16;
      for (int d = 0; d < 64; ++d) { seen.k.push_back(cpu::bf16_to_float(k[row * 64 + d])); }
      if (view.selection != nullptr) {
        seen.last_blocks.push_back(view.selection->blocks[static_cast<size_t>(view.selection->counts[0] - 1)]);
      }
    };
    const auto log_probs = of.teacher_force(request, random_tokens(5, 2), observer, nullptr);
    EXPECT_TRUE(log_probs.ok()) << (log_probs.ok() ? "" : log_probs.error().message);
    return seen;
  };
  const Seen cuda = watch(*engine);
  const Seen cpu = watch(*cpu_engine);
  EXPECT_EQ(cuda.layers, cpu.layers);
  EXPECT_EQ(cuda.last_blocks, cpu.last_blocks);
  ASSERT_EQ(cuda.q.size(), cpu.q.size());
  for (const auto& [a, b] : {std::pair{&cuda.q, &cpu.q}, std::pair{&cuda.k, &cpu.k}}) {
    double error = 0;
    double norm = 0;
    for (size_t i = 0; i < a->size(); ++i) {
      error += std::pow(static_cast<double>((*a)[i] - (*b)[i]), 2);
      norm += std::pow(static_cast<double>((*b)[i]), 2);
    }
    EXPECT_LT(std::sqrt(error / norm), 0.05);
  }
}

}  // namespace
}  // namespace vortex::engine
