// Steps of few rows where these are spread as suits the batch, so that a policy selects and attends by one kernel.
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 512;
constexpr int kVocab = 1024;

vortex::testing::TinyModel shape() {
  vortex::testing::TinyModel model;
  model.hidden = 256;
  model.inner = 384;
  model.vocab = kVocab;
  model.layers = 3;
  model.q_heads = 4;
  model.kv_heads = 2;
  model.head_dim = 128;
  return model;
}

class FewRows : public CudaEngineTest {
 protected:
  void SetUp() override {
    CudaEngineTest::SetUp();
    if (!IsSkipped()) { vortex::testing::write_checkpoint(folder_.path(), shape()); }
  }

  std::unique_ptr<Engine> engine(bool batch_invariant) {
    CudaOptions cuda;
    cuda.batch_invariant = batch_invariant;
    auto made = make_cuda_engine(model::load_model(folder_.path()).value(), options_of(4, kContext), cuda);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    if (!made.ok()) { return nullptr; }
    const Status set =
        (*made)->set_policy(example_policy("block_topk", (*made)->model().config, budget(6, {0}), kContext));
    EXPECT_TRUE(set.ok()) << (set.ok() ? "" : set.error().message);
    return std::move(*made);
  }

 private:
  vortex::testing::TempFolder folder_;
};

// The bits may differ from those of the kernels that any batch takes, but not by more than rounding makes them.
TEST_F(FewRows, AreNearTheStepsOfAnyBatch) {
  const auto fixed = engine(true);
  const auto spread = engine(false);
  ASSERT_TRUE(fixed != nullptr && spread != nullptr);
  Request request;
  request.prompt = random_tokens(300, 5);
  const std::vector<int32_t> continuation = random_tokens(40, 3);
  const auto expected = fixed->teacher_force(request, continuation, {}, nullptr).value();
  const auto found = spread->teacher_force(request, continuation, {}, nullptr).value();
  const Distance d = distance(expected, found, kVocab);
  EXPECT_FALSE(std::isnan(d.worst));
  EXPECT_LT(d.mean, 0.02);
  EXPECT_EQ(spread->teacher_force(request, continuation, {}, nullptr).value(), found) << "a rerun differs";
}

TEST_F(FewRows, AttendAsManyPages) {
  const auto fixed = engine(true);
  const auto spread = engine(false);
  ASSERT_TRUE(fixed != nullptr && spread != nullptr);
  std::vector<Request> requests = mixed_requests(4, 400);
  for (Request& request : requests) { request.ignore_eos = true; }
  RunStats expected;
  RunStats found;
  tokens_of(*fixed, requests, &expected);
  tokens_of(*spread, requests, &found);
  EXPECT_EQ(found.pages_attended, expected.pages_attended);
  EXPECT_EQ(found.pages_visible, expected.pages_visible);
}

}  // namespace
}  // namespace vortex::engine
