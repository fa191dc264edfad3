// A model on several ranks beside the same model on one device. Every rank needs a device of its own: on a shared one a
// host's call that waits for the device (a first launch, an allocation) would wait for a rank that waits for that host.
#include "core/engine/cuda/tensor_parallel.h"

#include "core/engine/cuda/ranks.h"
#include "core/engine/random_model.h"
#include "core/engine/tensor_parallel.h"
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 512;
constexpr int kVocab = 1024;

model::ModelConfig small_qwen3() {
  model::ModelConfig config;
  config.architecture = "Qwen3ForCausalLM";
  config.hidden_size = 256;
  config.num_layers = 3;
  config.num_q_heads = 8;
  config.num_kv_heads = 4;
  config.head_dim = 64;
  config.intermediate_size = 512;
  config.vocab_size = kVocab;
  config.max_position_embeddings = 4096;
  config.tie_word_embeddings = true;
  config.qk_norm = model::QkNorm::kEachHead;
  return config;
}

model::ModelConfig small_minimax() {
  model::ModelConfig config = small_qwen3();
  config.architecture = "MiniMaxM2ForCausalLM";
  config.num_q_heads = 24;
  config.head_dim = 128;
  config.rotated = 64;
  config.qk_norm = model::QkNorm::kAllHeads;
  config.tie_word_embeddings = false;
  config.experts.emplace();
  config.experts->layers.assign(3, true);
  config.experts->count = 16;
  config.experts->per_token = 2;
  config.experts->inner = 128;
  config.experts->score = model::ExpertScore::kSigmoid;
  config.experts->bias = true;
  config.experts->normalised = true;
  return config;
}

struct Kind {
  const char* name;
  model::ModelConfig config;
};
std::vector<Kind> kinds() { return {{"qwen3", small_qwen3()}, {"minimax_m2", small_minimax()}}; }

// As many as there are devices for.
std::vector<int> numbers_of_ranks() {
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  std::vector<int> numbers;
  for (const int ranks : {2, 4}) {
    if (ranks <= count) { numbers.push_back(ranks); }
  }
  return numbers;
}

std::unique_ptr<Engine> on_ranks_of(const model::Model& model, int ranks) {
  EngineOptions options = options_of(4, kContext);
  options.kv_memory_bytes = int64_t{256} << 20;
  auto made = make_cuda_tensor_parallel_engine(model, options, {}, devices_of_ranks(ranks).value());
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
  return made.ok() ? std::move(*made) : nullptr;
}

std::unique_ptr<Engine> on_one(const model::Model& model) {
  return make_cuda_engine(model, options_of(4, kContext, int64_t{256} << 20)).value();
}

class CudaTensorParallel : public CudaEngineTest {
 protected:
  void SetUp() override {
    CudaEngineTest::SetUp();
    if (!IsSkipped() && numbers_of_ranks().empty()) { GTEST_SKIP() << "ranks need two devices"; }
  }
};
using CudaRankLink = CudaEngineTest;

TEST_F(CudaTensorParallel, LogProbabilitiesAreThoseOfOneDevice) {
  for (const Kind& kind : kinds()) {
    const model::Model model = random_model(kind.config, 5);
    const auto one = on_one(model);
    for (const int ranks : numbers_of_ranks()) {
      const auto many = on_ranks_of(model, ranks);
      ASSERT_NE(many, nullptr);
      for (const int prompt : {1, 17, 300}) {
        SCOPED_TRACE(::testing::Message() << kind.name << " on " << ranks << " ranks, prompt " << prompt);
        Request request;
        request.prompt = random_tokens(prompt, static_cast<uint64_t>(prompt));
        const std::vector<int32_t> continuation = random_tokens(40, 3);
        const auto expected = one->teacher_force(request, continuation, {}, nullptr).value();
        const auto actual = many->teacher_force(request, continuation, {}, nullptr);
        ASSERT_TRUE(actual.ok()) << actual.error().message;
        const Distance d = distance(expected, *actual, kVocab);
        EXPECT_FALSE(std::isnan(d.worst));
        EXPECT_LT(d.mean, 2e-3);
        EXPECT_GT(d.agree, 0.85);
      }
    }
  }
}

// Every run gives the same tokens, and the counters are those of one device where nothing depends on tokens.
TEST_F(CudaTensorParallel, GeneratesTheSameEveryTime) {
  std::vector<Request> requests = mixed_requests(9, 300);
  for (Request& request : requests) { request.ignore_eos = true; }
  for (const Kind& kind : kinds()) {
    const model::Model model = random_model(kind.config, 6);
    const vflow::Policy policy = example_policy("block_topk", kind.config, budget(4), kContext);
    const auto one = on_one(model);
    ASSERT_TRUE(one->set_policy(policy).ok());
    RunStats expected;
    tokens_of(*one, requests, &expected);
    for (const int ranks : numbers_of_ranks()) {
      SCOPED_TRACE(::testing::Message() << kind.name << " on " << ranks << " ranks");
      const auto many = on_ranks_of(model, ranks);
      ASSERT_NE(many, nullptr);
      const Status set = many->set_policy(policy);
      ASSERT_TRUE(set.ok()) << set.error().message;
      RunStats stats;
      const auto tokens = tokens_of(*many, requests, &stats);
      EXPECT_EQ(tokens_of(*many, requests), tokens);
      EXPECT_EQ(stats.pages_visible, expected.pages_visible);
      EXPECT_EQ(stats.pages_attended, expected.pages_attended);
      EXPECT_EQ(stats.kv_bytes_read, expected.kv_bytes_read);
    }
  }
}

// What a policy that is compiled, not hand-written, chooses is local, too.
TEST_F(CudaTensorParallel, CompiledPoliciesRunOnRanks) {
  const model::ModelConfig config = small_minimax();
  const model::Model model = random_model(config, 7);
  const auto many = on_ranks_of(model, 2);
  ASSERT_NE(many, nullptr);
  const Status set = many->set_policy(example_policy("quest", config, budget(4), kContext));
  ASSERT_TRUE(set.ok()) << set.error().message;
  RunStats stats;
  for (const auto& tokens : tokens_of(*many, mixed_requests(3, 200), &stats)) { EXPECT_FALSE(tokens.empty()); }
  EXPECT_GT(stats.sparse_layer_calls, 0);
}

// One rank's thread waits for a word that the other never sends: an error after the limit, and the device goes on.
TEST_F(CudaRankLink, AMissingRankEndsInAnError) {
  const model::ModelConfig config = small_qwen3();
  const auto all = CudaRanks::make({0, 0}, 1 << 20, 0.05, 0.05).value();
  RankLink link(all, plan_shard(config, 0, 2).value());
  DeviceMemory rows;
  ASSERT_TRUE(rows.allocate(size_t{4} * 256 * sizeof(cuda::Bf16)).ok());
  Stream stream;
  ASSERT_TRUE(stream.create().ok());
  cuda::AllReduceNorm args;
  args.x = args.residual = args.out = rows.as<cuda::Bf16>();
  args.weight = rows.as<cuda::Bf16>();
  args.rows = 2;
  args.width = 256;
  ASSERT_TRUE(link.check().ok());
  ASSERT_TRUE(link.reduce_norm(args, stream.get()).ok());
  ASSERT_TRUE(stream.synchronize("waiting").ok());
  const Status checked = link.check();
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().blame, Blame::kEnvironment);
  EXPECT_NE(checked.error().message.find("rank 1"), std::string::npos) << checked.error().message;
  EXPECT_FALSE(link.meet().ok()) << "the host's wait has a limit, too";
}

}  // namespace
}  // namespace vortex::engine
