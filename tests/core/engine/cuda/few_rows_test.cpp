// Steps of few rows, which are spread over thread blocks: a policy then selects and attends by one kernel.
#include "tests/core/engine/cuda/distance.h"
#include "tests/core/engine/cuda/support.h"
#include "tests/core/engine/cuda/unwritten.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::engine {
namespace {

constexpr int kContext = 1280;  // of 80 pages: a row has more tiles than pieces
constexpr vflow::Dtype kKvTypes[] = {vflow::Dtype::kBf16, vflow::Dtype::kFp8E4m3, vflow::Dtype::kFp8E5m2,
                                     vflow::Dtype::kFp32};
constexpr int kVocab = 1024;

vortex::testing::TinyModel shape() {
  vortex::testing::TinyModel model;
  model.hidden = 256;
  model.inner = 384;
  model.vocab = kVocab;
  model.layers = 3;
  model.q_heads = 8;
  model.kv_heads = 4;  // 64 requests have more rows than there are multiprocessors
  model.head_dim = 128;
  return model;
}

class FewRows : public CudaEngineTest {
 protected:
  void SetUp() override {
    CudaEngineTest::SetUp();
    if (!IsSkipped()) { vortex::testing::write_checkpoint(folder_.path(), shape()); }
  }

  model::Model model() const { return model::load_model(folder_.path()).value(); }

  vflow::Policy policy(const model::ModelConfig& config, vflow::Dtype kv = vflow::Dtype::kBf16) const {
    vflow::Policy made = example_policy("block_topk", config, budget(6, {0}), kContext);
    made.config.kv_dtype = kv;
    return made;
  }

  std::unique_ptr<Engine> engine(bool batch_invariant, int max_batch = 4, int row_pieces = CudaOptions().row_pieces) {
    CudaOptions cuda;
    cuda.batch_invariant = batch_invariant;
    cuda.row_pieces = row_pieces;
    auto made = make_cuda_engine(model(), options_of(max_batch, kContext), cuda);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().message);
    if (!made.ok()) { return nullptr; }
    const Status set = (*made)->set_policy(policy((*made)->model().config));
    EXPECT_TRUE(set.ok()) << (set.ok() ? "" : set.error().message);
    return std::move(*made);
  }

  // Log-probabilities of what requests are forced to say, and of the best tokens.
  static std::vector<Forced> force(Engine& engine, std::span<const ForcedRequest> requests) {
    auto forced = engine.force_decode(requests, {3, 0}, nullptr);
    EXPECT_TRUE(forced.ok()) << (forced.ok() ? "" : forced.error().message);
    return forced.ok() ? std::move(*forced) : std::vector<Forced>(requests.size());
  }

  static void expect_same(const std::vector<Forced>& found, std::span<const Forced> expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t r = 0; r < found.size(); ++r) {
      EXPECT_EQ(found[r].log_probs, expected[r].log_probs) << "request " << r;
      EXPECT_EQ(found[r].top, expected[r].top) << "request " << r;
      EXPECT_EQ(found[r].top_log_probs, expected[r].top_log_probs) << "request " << r;
    }
  }

 private:
  vortex::testing::TempFolder folder_;
};

std::vector<ForcedRequest> forced_requests(int count) {
  std::vector<ForcedRequest> requests;
  for (int i = 0; i < count; ++i) {
    ForcedRequest forced;
    const int prompt = i % 8 == 1 ? 1200 - i : 1 + i * 97 % 400;
    forced.request.prompt = random_tokens(prompt, static_cast<uint64_t>(i));
    forced.continuation = random_tokens(6 + i % 3 * 4, static_cast<uint64_t>(i % 5));
    requests.push_back(std::move(forced));
  }
  return requests;
}

// The clusters that have a row, and whether one kernel selects and attends or two, follow from the batch: the bits do
// not. A batch of five leaves slots idle.
TEST_F(FewRows, HaveTheBitsOfAnyBatch) {
  const auto all = engine(true, 64);
  ASSERT_NE(all, nullptr);
  const std::vector<ForcedRequest> requests = forced_requests(64);
  for (const vflow::Dtype kv : kKvTypes) {
    for (const bool sparse : {true, false}) {
      if (!sparse && kv != vflow::Dtype::kBf16) { continue; }  // without a policy the engine's own type
      SCOPED_TRACE(::testing::Message() << "type " << static_cast<int>(kv) << (sparse ? " sparse" : " dense"));
      std::optional<vflow::Policy> set;
      if (sparse) { set = policy(all->model().config, kv); }
      ASSERT_TRUE(all->set_policy(set).ok());
      const std::vector<Forced> expected = force(*all, requests);
      for (const size_t count : {size_t{1}, size_t{2}, size_t{5}, size_t{8}, size_t{16}}) {
        SCOPED_TRACE(count);
        expect_same(force(*all, std::span(requests).first(count)), std::span(expected).first(count));
      }
      for (const size_t alone : {size_t{1}, size_t{17}, size_t{63}}) {
        SCOPED_TRACE(::testing::Message() << "request " << alone << " alone");
        expect_same(force(*all, std::span(requests).subspan(alone, 1)), std::span(expected).subspan(alone, 1));
      }
    }
  }
}

TEST_F(FewRows, OfOtherPiecesDoNotFollowFromTheBatchEither) {
  const std::vector<ForcedRequest> requests = forced_requests(8);
  for (const int pieces : {1, 2, 8}) {
    SCOPED_TRACE(pieces);
    const auto some = engine(true, 8, pieces);
    ASSERT_NE(some, nullptr);
    const std::vector<Forced> expected = force(*some, requests);
    expect_same(force(*some, std::span(requests).subspan(1, 1)), std::span(expected).subspan(1, 1));
  }
}

TEST_F(FewRows, ReadNothingUnwritten) {
  auto runner = Runner::make(model(), options_of(2, kContext), {});
  ASSERT_TRUE(runner.ok()) << runner.error().message;
  for (const vflow::Dtype kv : kKvTypes) {
    SCOPED_TRACE(static_cast<int>(kv));
    ASSERT_TRUE((*runner)->set_policy(policy((*runner)->model().source.config, kv)).ok());
    const auto clean = logits_after_steps(**runner, random_tokens(1100, 1), false);
    EXPECT_EQ(logits_after_steps(**runner, random_tokens(1100, 1), true), clean);
    EXPECT_FALSE(std::isnan(clean.front()));
  }
}

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
