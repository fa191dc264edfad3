// The engine's numbers against the reference decoder, for prefill and decode.
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

using testing::ReferenceDecoder;
using testing::TinyModel;

EngineOptions small_options(int threads = 1) {
  EngineOptions options;
  options.threads = threads;
  options.max_context = 512;
  options.max_batch = 4;
  return options;
}

// Log-probabilities of `continuation` after `prompt` by the reference.
std::vector<double> reference_log_probs(const TinyModel& shape, const std::vector<int32_t>& prompt,
                                        const std::vector<int32_t>& continuation) {
  ReferenceDecoder reference(shape);
  std::vector<double> logits;
  for (int32_t token : prompt) { logits = reference.feed(token); }
  std::vector<double> log_probs;
  for (int32_t token : continuation) {
    double total = 0;
    for (double logit : logits) { total += std::exp(logit); }
    for (double logit : logits) { log_probs.push_back(logit - std::log(total)); }
    logits = reference.feed(token);
  }
  return log_probs;
}

void expect_matches_reference(const TinyModel& shape, int prompt_length, int continuation_length) {
  SCOPED_TRACE(prompt_length);
  const auto prompt = testing::random_tokens(prompt_length, shape.vocab, 1);
  const auto continuation = testing::random_tokens(continuation_length, shape.vocab, 2);
  auto engine = testing::make_engine(shape, small_options());
  testing::poison(engine->pool(), engine->model().config);
  Request request;
  request.prompt = prompt;
  RunStats stats;
  const auto log_probs = engine->teacher_force(request, continuation, {}, &stats);
  ASSERT_TRUE(log_probs.ok()) << log_probs.error().message;
  const std::vector<double> expected = reference_log_probs(shape, prompt, continuation);
  ASSERT_EQ(log_probs->size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>((*log_probs)[i]) - expected[i]));
    ASSERT_FALSE(std::isnan((*log_probs)[i])) << i;
  }
  // A float32 sum that lands on the other side of a bf16 rounding step of K or V moves a logit by about 1e-3.
  EXPECT_LT(worst, 5e-3);
  EXPECT_EQ(stats.prefill_tokens, prompt_length);
  EXPECT_EQ(stats.decode_tokens, continuation_length - 1);
  EXPECT_EQ(stats.dense_layer_calls, static_cast<int64_t>(shape.layers) * (continuation_length - 1));
  EXPECT_EQ(stats.sparse_layer_calls, 0);
}

TEST(Forward, MatchesReferenceAtManyLengths) {
  for (int length : {1, 2, 15, 16, 17, 33, 100}) { expect_matches_reference({}, length, 20); }
}

TEST(Forward, MatchesReferenceAcrossKeyTiles) { expect_matches_reference({}, 300, 3); }

TEST(Forward, MatchesReferenceForOtherShapes) {
  expect_matches_reference({.hidden = 40, .q_heads = 6, .kv_heads = 2, .head_dim = 32, .vocab = 33, .tied = false}, 40,
                           5);
  expect_matches_reference({.hidden = 64, .layers = 1, .q_heads = 4, .kv_heads = 4, .head_dim = 64}, 70, 5);
  expect_matches_reference({.hidden = 300, .layers = 1, .q_heads = 5, .kv_heads = 1, .inner = 17}, 20, 5);
}

TEST(Forward, MatchesReferenceForEveryArchitecture) {
  const auto check = [](TinyModel shape) {
    SCOPED_TRACE(shape.architecture);
    for (int length : {1, 17, 90}) { expect_matches_reference(shape, length, 12); }
  };
  check({.architecture = "LlamaForCausalLM", .tied = false});
  check({.architecture = "LlamaForCausalLM", .head_dim = 32, .llama3_rope = true});
  check({.architecture = "Qwen2ForCausalLM"});
  check({.architecture = "Qwen2ForCausalLM", .q_heads = 6, .kv_heads = 3, .tied = false});
}

TEST(Forward, PrefillThreadsDoNotChangeABit) {
  const auto prompt = testing::random_tokens(200, 50, 3);
  const auto continuation = testing::random_tokens(20, 50, 4);
  Request request;
  request.prompt = prompt;
  auto one = testing::make_engine({}, small_options(1));
  auto two = testing::make_engine({}, small_options(2));
  auto three = testing::make_engine({}, small_options(3));
  const auto expected = one->teacher_force(request, continuation, {}, nullptr).value();
  EXPECT_EQ(two->teacher_force(request, continuation, {}, nullptr).value(), expected);
  EXPECT_EQ(three->teacher_force(request, continuation, {}, nullptr).value(), expected);
}

TEST(Forward, ObserverSeesEveryLayerOfEveryStep) {
  auto engine = testing::make_engine({}, small_options());
  Request request;
  request.prompt = testing::random_tokens(30, 50, 3);
  std::vector<std::pair<int, int>> seen;
  const AttentionObserver observer = [&](const AttentionView& view) {
    EXPECT_EQ(view.requests, 1);
    EXPECT_EQ(view.selection, nullptr);
    EXPECT_EQ(view.cache->k.rows, 16);
    EXPECT_GE(view.max_blocks, (view.seq_lens[0] + 15) / 16);
    seen.emplace_back(view.layer, view.seq_lens[0]);
  };
  ASSERT_TRUE(engine->teacher_force(request, testing::random_tokens(4, 50, 5), observer, nullptr).ok());
  EXPECT_EQ(seen, (std::vector<std::pair<int, int>>{{0, 31}, {1, 31}, {0, 32}, {1, 32}, {0, 33}, {1, 33}}));
}

TEST(Forward, RefusesModelsThatTheKernelsDoNotCover) {
  testing::TempFolder folder;
  testing::write_checkpoint(folder.path(), {.head_dim = 20});
  const auto engine = make_cpu_engine(model::load_model(folder.path()).value(), small_options());
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().blame, Blame::kCandidate);
  EXPECT_NE(engine.error().message.find("multiple of 16"), std::string::npos);
}

}  // namespace
}  // namespace vortex::engine
