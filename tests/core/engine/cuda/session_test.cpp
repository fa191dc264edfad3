// A live batch on the device: pieces of prompts, company and hanging up change no token, and every page comes back.
#include "core/engine/session.h"

#include <map>

#include "core/engine/cuda/slots.h"
#include "tests/core/engine/cuda/support.h"

namespace vortex::engine {
namespace {

using CudaSessions = CudaEngineTest;
using Tokens = std::map<int64_t, std::vector<int32_t>>;

LiveRequest live(int64_t id, const Request& request, Tokens& tokens) {
  LiveRequest one;
  one.id = id;
  one.request = request;
  one.on_token = [id, &tokens](const LiveToken& token) { tokens[id].push_back(token.token); };
  return one;
}

void run_out(Session& session) {
  Result<bool> more = true;
  while (more.ok() && *more) { more = session.round(); }
  ASSERT_TRUE(more.ok()) << more.error().message;
  EXPECT_EQ(session.use().free_pages, session.use().pages);
  EXPECT_EQ(session.use().running, 0);
}

TEST(Slots, GapsAreFilledFromTheEnd) {
  using Moves = std::vector<std::pair<int, int>>;
  EXPECT_EQ(moves_into_gaps({false, false}), Moves());
  EXPECT_EQ(moves_into_gaps({true, true}), Moves());
  EXPECT_EQ(moves_into_gaps({false, true, false, true, false}), (Moves{{4, 1}}));
  EXPECT_EQ(moves_into_gaps({true, true, false, false, true, false}), (Moves{{3, 0}, {5, 1}}));
}

TEST_F(CudaSessions, GiveWhatGenerateGives) {
  const auto requests = mixed_requests(14, 300);
  const auto engine = chain_engine(options_of(4, 512));
  for (const bool sparse : {false, true}) {
    const std::optional<vflow::Policy> policy =
        sparse ? std::optional(load_policy("quest", budget(4, {0}), 512)) : std::nullopt;
    ASSERT_TRUE(engine->set_policy(policy).ok());
    const auto expected = tokens_of(*engine, requests);
    for (const int chunk : {0, 16, 100}) {
      SCOPED_TRACE(chunk);
      SessionOptions options;
      options.chunk_tokens = chunk;
      options.decode_share = chunk == 16 ? 0.5 : 0;
      options.share_patience = sparse ? 1e-3 : 0;
      const auto session = engine->session(options);
      Tokens tokens;
      for (size_t i = 0; i < requests.size(); ++i) {
        ASSERT_TRUE(session->submit(live(static_cast<int64_t>(i), requests[i], tokens)).ok());
        ASSERT_TRUE(session->round().ok());
      }
      run_out(*session);
      for (size_t i = 0; i < requests.size(); ++i) { EXPECT_EQ(tokens[static_cast<int64_t>(i)], expected[i]) << i; }
    }
  }
}

// Short prompts that wait together go through the model together: no token and no log-probability depends on it.
TEST_F(CudaSessions, PackedPromptsChangeNoToken) {
  const auto requests = mixed_requests(22, 120);
  const auto engine = chain_engine(options_of(12, 512));
  for (const char* name : {"", "block_topk"}) {
    SCOPED_TRACE(name);
    const std::optional<vflow::Policy> policy =
        *name != 0 ? std::optional(load_policy(name, budget(2, {0}), 512)) : std::nullopt;
    ASSERT_TRUE(engine->set_policy(policy).ok());
    const auto expected = tokens_of(*engine, requests);
    std::vector<std::vector<float>> said;  // by the first session, [request][token]
    for (const bool packs : {false, true}) {
      for (const int chunk : {0, 64, 300}) {
        SCOPED_TRACE(::testing::Message() << (packs ? "packed, chunks of " : "one by one, chunks of ") << chunk);
        SessionOptions options;
        options.chunk_tokens = chunk;
        options.pack_prompts = packs;
        const auto session = engine->session(options);
        Tokens tokens;
        std::vector<std::vector<float>> log_probs(requests.size());
        int begun = 0;     // prompts,
        int answered = 0;  // and those with a token
        int together = 0;  // the most that were begun and had none
        for (size_t i = 0; i < requests.size(); ++i) {
          LiveRequest one = live(static_cast<int64_t>(i), requests[i], tokens);
          one.top_log_probs = 1;
          one.on_start = [&](const LiveStart&) { together = std::max(together, ++begun - answered); };
          one.on_token = [&, i](const LiveToken& token) {
            answered += tokens[static_cast<int64_t>(i)].empty() ? 1 : 0;
            tokens[static_cast<int64_t>(i)].push_back(token.token);
            log_probs[i].push_back(token.log_prob);
          };
          ASSERT_TRUE(session->submit(std::move(one)).ok());
        }
        run_out(*session);
        EXPECT_EQ(together > 1, packs) << together << " prompts were read together";
        for (size_t i = 0; i < requests.size(); ++i) { EXPECT_EQ(tokens[static_cast<int64_t>(i)], expected[i]) << i; }
        if (said.empty()) { said = log_probs; }
        EXPECT_TRUE(log_probs == said) << "other log-probabilities";
      }
    }
  }
}

TEST_F(CudaSessions, WhoHangsUpTakesNothingFromTheOthers) {
  const auto requests = mixed_requests(8, 300);
  const auto engine = chain_engine(options_of(4, 512));
  const auto expected = tokens_of(*engine, requests);
  SessionOptions options;
  options.chunk_tokens = 32;
  const auto session = engine->session(options);
  Tokens tokens;
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(session->submit(live(static_cast<int64_t>(i), requests[i], tokens)).ok());
  }
  // One that decodes or is read, and one that waits, between every few rounds.
  for (const int64_t gone : {1, 6, 3}) {
    for (int i = 0; i < 4; ++i) { ASSERT_TRUE(session->round().ok()); }
    session->cancel(gone);
  }
  run_out(*session);
  for (const size_t i : {size_t{0}, size_t{2}, size_t{4}, size_t{5}, size_t{7}}) {
    EXPECT_EQ(tokens[static_cast<int64_t>(i)], expected[i]) << i;
  }
}

TEST_F(CudaSessions, TellLogProbabilitiesAsTeacherForcingDoes) {
  const auto engine = chain_engine(options_of(2, 512));
  Request request;
  request.prompt = random_tokens(90, 4);
  request.max_new_tokens = 12;
  request.ignore_eos = true;
  const auto expected = tokens_of(*engine, {request});
  const auto forced = engine->teacher_force(request, expected[0], {}, nullptr).value();
  const auto vocab = static_cast<size_t>(engine->model().config.vocab_size);
  const auto session = engine->session({});
  std::vector<LiveToken> told;
  LiveRequest asks;
  asks.request = request;
  asks.top_log_probs = 3;
  asks.on_token = [&](LiveToken token) { told.push_back(std::move(token)); };
  ASSERT_TRUE(session->submit(asks).ok());
  run_out(*session);
  ASSERT_EQ(told.size(), expected[0].size());
  for (size_t i = 0; i < told.size(); ++i) {
    EXPECT_EQ(told[i].token, expected[0][i]);
    ASSERT_EQ(told[i].top.size(), 3u);
    EXPECT_EQ(told[i].top[0].token, told[i].token) << "greedy";
    EXPECT_NEAR(told[i].log_prob, forced[i * vocab + static_cast<size_t>(told[i].token)], 1e-4);
    EXPECT_EQ(told[i].last, i + 1 == told.size());
  }
  asks.prompt_probs = true;
  const Status refused = session->submit(asks);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kCandidate);
}

}  // namespace
}  // namespace vortex::engine
