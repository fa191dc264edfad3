// Any number of query heads a kv head, and any type of K and V, beside the CPU engine.
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 512;
constexpr int kVocab = 512;

vortex::testing::TinyModel model_of(int group, int kv_heads, int head_dim) {
  vortex::testing::TinyModel model;
  model.hidden = 192;
  model.inner = 256;
  model.vocab = kVocab;
  model.layers = 3;
  model.q_heads = group * kv_heads;
  model.kv_heads = kv_heads;
  model.head_dim = head_dim;
  return model;
}

// Both engines on one checkpoint.
class Pair {
 public:
  explicit Pair(const vortex::testing::TinyModel& shape) {
    vortex::testing::write_checkpoint(folder_.path(), shape);
    cpu_ = make_cpu_engine(model::load_model(folder_.path()).value(), options_of(2, kContext)).value();
    auto made = make_cuda_engine(model::load_model(folder_.path()).value(), options_of(2, kContext));
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    if (made.ok()) { cuda_ = std::move(*made); }
  }

  const model::ModelConfig& config() const { return cpu_->model().config; }
  Engine& cuda() { return *cuda_; }

  // `on_cpu` is what the CPU engine can run of the policy.
  void expect_near(const std::optional<vflow::Policy>& policy, const std::optional<vflow::Policy>& on_cpu, double kl,
                   double gap) {
    ASSERT_NE(cuda_, nullptr);
    ASSERT_TRUE(cpu_->set_policy(on_cpu).ok());
    const Status set = cuda_->set_policy(policy);
    ASSERT_TRUE(set.ok()) << set.error().message;
    for (const int prompt : {1, 17, 300}) {
      SCOPED_TRACE(prompt);
      Request request;
      for (const int32_t token : random_tokens(prompt, static_cast<uint64_t>(prompt))) {
        request.prompt.push_back(token % (kVocab - 2) + 2);
      }
      std::vector<int32_t> continuation;
      for (const int32_t token : random_tokens(40, 3)) { continuation.push_back(token % (kVocab - 2) + 2); }
      const auto expected = cpu_->teacher_force(request, continuation, {}, nullptr).value();
      const auto actual = cuda_->teacher_force(request, continuation, {}, nullptr);
      ASSERT_TRUE(actual.ok()) << actual.error().message;
      const Distance d = distance(expected, *actual, kVocab);
      EXPECT_FALSE(std::isnan(d.worst));
      EXPECT_LT(d.mean, kl);
      EXPECT_LT(d.gap, gap) << "another token, and no near tie";
    }
  }

 private:
  vortex::testing::TempFolder folder_;
  std::unique_ptr<Engine> cpu_;
  std::unique_ptr<Engine> cuda_;
};

using CudaGroups = CudaEngineTest;

TEST_F(CudaGroups, AreTheCpuEnginesToRounding) {
  for (const int group : {1, 3, 5, 6, 7, 8, 9, 12, 16}) {
    for (const int head_dim : {64, 128}) {
      SCOPED_TRACE(::testing::Message() << "group " << group << " head_dim " << head_dim);
      Pair pair(model_of(group, 2, head_dim));
      pair.expect_near(std::nullopt, std::nullopt, 0.02, 0.3);
      for (const char* name : {"block_topk", "quest"}) {
        SCOPED_TRACE(name);
        const vflow::Policy policy = example_policy(name, pair.config(), budget(8, {0}), kContext);
        pair.expect_near(policy, policy, 0.1, 1.0);
      }
    }
  }
}

TEST_F(CudaGroups, CoveringBudgetsAreDenseToTheBit) {
  for (const int group : {3, 7, 12}) {
    SCOPED_TRACE(group);
    Pair pair(model_of(group, 1, 64));
    Request request;
    request.prompt.assign(200, 7);
    for (size_t i = 0; i < request.prompt.size(); ++i) { request.prompt[i] = static_cast<int32_t>(2 + i * 37 % 500); }
    request.max_new_tokens = 40;
    request.ignore_eos = true;
    const auto dense = tokens_of(pair.cuda(), {request});
    for (const char* name : {"block_topk", "quest"}) {
      ASSERT_TRUE(pair.cuda().set_policy(example_policy(name, pair.config(), budget(32), kContext)).ok());
      EXPECT_EQ(tokens_of(pair.cuda(), {request}), dense) << name;
    }
  }
}

TEST_F(CudaGroups, Float32KvIsNearerThanBfloat16) {
  Pair pair(model_of(3, 2, 64));
  for (const char* name : {"block_topk", "quest"}) {
    SCOPED_TRACE(name);
    const vflow::Policy on_cpu = example_policy(name, pair.config(), budget(8, {0}), kContext);
    vflow::Policy wide = on_cpu;
    wide.config.kv_dtype = vflow::Dtype::kFp32;
    pair.expect_near(wide, on_cpu, 0.1, 1.0);
  }
}

}  // namespace
}  // namespace vortex::engine
