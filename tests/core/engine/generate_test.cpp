// Continuous batching: what a request gives does not depend on its company, the pool, or the threads.
#include <set>

#include "core/engine/schedule.h"
#include "tests/core/engine/support.h"

namespace vortex::engine {
namespace {

constexpr int kVocab = 50;

EngineOptions options_of(int threads, int max_batch, int64_t kv_memory_bytes = 0) {
  EngineOptions options;
  options.threads = threads;
  options.max_batch = max_batch;
  options.max_context = 256;
  options.kv_memory_bytes = kv_memory_bytes;
  return options;
}

// Greedy and sampled requests of mixed lengths, some of which end at the stop token.
std::vector<Request> mixed_requests() {
  std::vector<Request> requests;
  const int lengths[] = {1, 17, 100, 16, 48, 31, 5, 64};
  for (int i = 0; i < 8; ++i) {
    Request request;
    request.prompt = testing::random_tokens(lengths[i], kVocab, static_cast<uint64_t>(i));
    request.seed = static_cast<uint64_t>(100 + i);
    request.max_new_tokens = 20 + 15 * (i % 3);
    request.ignore_eos = i % 4 == 3;
    if (i % 2 == 1) { request.sampling = {1.0, i % 4 == 1 ? 0.9 : 1.0, i % 4 == 3 ? 20 : 0}; }
    requests.push_back(request);
  }
  return requests;
}

std::vector<std::vector<int32_t>> run(CpuEngine& engine, const std::vector<Request>& requests,
                                      RunStats* stats = nullptr) {
  const auto outputs = engine.generate(requests, stats);
  EXPECT_TRUE(outputs.ok()) << (outputs.ok() ? "" : outputs.error().message);
  std::vector<std::vector<int32_t>> tokens;
  for (const Output& output : *outputs) { tokens.push_back(output.tokens); }
  EXPECT_EQ(engine.pool().free_pages(), engine.pool().pages()) << "pages leaked";
  return tokens;
}

TEST(Generate, BatchEqualsEachAlone) {
  const auto requests = mixed_requests();
  auto engine = testing::make_engine({}, options_of(1, 8));
  testing::poison(engine->pool(), engine->model().config);
  const auto together = run(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) { EXPECT_EQ(run(*engine, {requests[i]})[0], together[i]) << i; }
  auto narrow = testing::make_engine({}, options_of(2, 3));
  EXPECT_EQ(run(*narrow, requests), together);
  EXPECT_EQ(run(*narrow, requests), together) << "a second run";
}

TEST(Generate, TellsEveryTokenAsItComes) {
  auto requests = mixed_requests();
  auto engine = testing::make_engine({}, options_of(1, 3));
  std::vector<std::vector<int32_t>> told(requests.size());
  std::vector<int> ends(requests.size(), 0);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].on_token = [&told, &ends, i](int32_t token, bool last) {
      EXPECT_EQ(ends[i], 0) << "a token behind the last one";
      told[i].push_back(token);
      ends[i] += last ? 1 : 0;
    };
  }
  EXPECT_EQ(run(*engine, requests), told);
  EXPECT_EQ(ends, std::vector<int>(requests.size(), 1));
}

TEST(Generate, GreedyFollowsTeacherForcing) {
  auto engine = testing::make_engine({}, options_of(1, 8));
  Request request = mixed_requests()[2];
  request.ignore_eos = true;
  const std::vector<int32_t> tokens = run(*engine, {request})[0];
  ASSERT_EQ(tokens.size(), static_cast<size_t>(request.max_new_tokens));
  const auto log_probs = engine->teacher_force(request, tokens, {}, nullptr).value();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto first = log_probs.begin() + static_cast<int64_t>(i) * kVocab;
    EXPECT_EQ(std::max_element(first, first + kVocab) - first, tokens[i]) << i;
  }
}

TEST(Generate, SamplingDependsOnTheSeed) {
  auto engine = testing::make_engine({}, options_of(1, 8));
  Request request = mixed_requests()[0];
  request.sampling.temperature = 1.0;
  request.ignore_eos = true;
  std::set<std::vector<int32_t>> distinct;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    request.seed = seed;
    distinct.insert(run(*engine, {request})[0]);
  }
  EXPECT_EQ(distinct.size(), 5U);
}

TEST(Generate, StopsAtTheStopTokenOrAtTheLimit) {
  auto engine = testing::make_engine({}, options_of(1, 8));
  std::vector<Request> requests;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Request request;
    request.prompt = {2, 3, 4};
    request.seed = seed;
    request.max_new_tokens = 100;
    request.sampling.temperature = 3.0;  // nearly uniform: the stop token comes soon
    requests.push_back(request);
  }
  int stopped = 0;
  const std::vector<Output> free_outputs = engine->generate(requests, nullptr).value();
  for (const Output& output : free_outputs) {
    const auto end = std::find(output.tokens.begin(), output.tokens.end(), 1);
    EXPECT_EQ(output.stopped, end != output.tokens.end());
    if (output.stopped) {
      EXPECT_EQ(end + 1, output.tokens.end());
      ++stopped;
    } else {
      EXPECT_EQ(output.tokens.size(), 100U);
    }
  }
  EXPECT_GT(stopped, 5);
  for (Request& request : requests) { request.ignore_eos = true; }
  const std::vector<Output> fixed_outputs = engine->generate(requests, nullptr).value();
  for (const Output& output : fixed_outputs) {
    EXPECT_EQ(output.tokens.size(), 100U);
    EXPECT_FALSE(output.stopped);
  }
}

TEST(Generate, WaitsWhenThePoolRunsDry) {
  const auto requests = mixed_requests();
  auto roomy = testing::make_engine({}, options_of(1, 8));
  RunStats roomy_stats;
  const auto expected = run(*roomy, requests, &roomy_stats);
  const int64_t bytes = page_bytes(roomy->model().config, 16, nullptr);
  auto tight = testing::make_engine({}, options_of(1, 8, 17 * bytes));
  ASSERT_EQ(tight->pool().pages(), 17);
  RunStats tight_stats;
  EXPECT_EQ(run(*tight, requests, &tight_stats), expected);
  EXPECT_GT(tight_stats.decode_steps, roomy_stats.decode_steps) << "nobody had to wait";
  EXPECT_EQ(tight_stats.decode_tokens, roomy_stats.decode_tokens) << "something was computed twice";
  EXPECT_EQ(tight_stats.prefill_tokens, roomy_stats.prefill_tokens);
}

TEST(Generate, CountsDenseWork) {
  auto engine = testing::make_engine({}, options_of(1, 8));
  Request request;
  request.prompt = testing::random_tokens(30, kVocab, 1);
  request.max_new_tokens = 5;  // fed at lengths 31..34
  request.ignore_eos = true;
  RunStats stats;
  run(*engine, {request, request}, &stats);
  EXPECT_EQ(stats.decode_steps, 4);
  EXPECT_EQ(stats.decode_tokens, 8);
  EXPECT_EQ(stats.dense_layer_calls, 2 * 8);
  EXPECT_EQ(stats.sparse_layer_calls, 0);
  const int64_t pages = 2 * 2 * (2 + 2 + 3 + 3);  // requests, kv heads
  EXPECT_EQ(stats.pages_visible, (std::vector<int64_t>{pages, pages}));
  EXPECT_EQ(stats.pages_attended, stats.pages_visible);
  EXPECT_EQ(stats.kv_bytes_read, 2 * 2 * 2 * (31 + 32 + 33 + 34) * 2 * 16 * 2);  // layers, requests, kv heads; k and v
  EXPECT_GT(stats.weight_bytes_read, 0);
}

TEST(Generate, RefusesWhatCannotRun) {
  auto engine = testing::make_engine({}, options_of(1, 2));
  const auto refused = [&](auto change) {
    Request request;
    request.prompt = {2, 3};
    change(request);
    const auto outputs = engine->generate({request}, nullptr);
    return outputs.ok() ? std::string() : outputs.error().message;
  };
  EXPECT_NE(refused([](Request& r) { r.prompt.clear(); }).find("at least one token"), std::string::npos);
  EXPECT_NE(refused([](Request& r) { r.prompt.push_back(50); }).find("token 50 is not in"), std::string::npos);
  EXPECT_NE(refused([](Request& r) { r.prompt.push_back(-1); }).find("token -1 is not in"), std::string::npos);
  EXPECT_NE(refused([](Request& r) { r.max_new_tokens = 0; }).find("at least 1"), std::string::npos);
  EXPECT_NE(refused([](Request& r) { r.max_new_tokens = 255; }).find("exceed the context of 256"), std::string::npos);
  EXPECT_NE(refused([](Request& r) { r.sampling.temperature = -1; }).find("negative"), std::string::npos);
  EXPECT_NE(refused([](Request& r) { r.sampling.top_p = 0; }).find("top_p"), std::string::npos);
  EXPECT_EQ(refused([](Request& r) { r.max_new_tokens = 254; }), "");
}

TEST(Generate, RefusesAPoolThatHoldsNoRequest) {
  testing::TempFolder folder;
  testing::write_checkpoint(folder.path(), {});
  const auto model = model::load_model(folder.path()).value();
  const int64_t bytes = page_bytes(model.config, 16, nullptr);
  EXPECT_TRUE(make_cpu_engine(model, options_of(1, 2, 16 * bytes)).ok());
  const auto engine = make_cpu_engine(model, options_of(1, 2, 16 * bytes - 1));
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.error().blame, Blame::kCandidate);
  EXPECT_NE(engine.error().message.find(std::to_string(16 * bytes)), std::string::npos) << engine.error().message;
}

TEST(Schedule, SafeMeansSomeOrderWorks) {
  EXPECT_TRUE(is_safe({}, 0));
  EXPECT_TRUE(is_safe({{3, 3}, {2, 5}}, 0));
  EXPECT_FALSE(is_safe({{2, 3}, {2, 5}}, 0));
  EXPECT_FALSE(is_safe({{3, 3}, {2, 6}}, 0));
  EXPECT_TRUE(is_safe({{2, 6}, {3, 4}}, 1));
}

TEST(Schedule, WhatIsTakenNowIsAskedForToo) {
  const std::vector<PageNeed> needs = {{2, 6}, {1, 2}, {3, 3}};
  EXPECT_EQ(is_safe_after(needs, {}, {}, 1), is_safe(needs, 1));
  EXPECT_TRUE(is_safe_after(needs, {1, 0}, {}, 1));
  EXPECT_TRUE(is_safe_after({{4, 6}, {1, 2}}, {0, 1}, {}, 1));
  EXPECT_FALSE(is_safe_after({{4, 6}, {0, 3}}, {0, 2}, {}, 2)) << "neither could go on";
  EXPECT_FALSE(is_safe_after({{4, 6}}, {2}, {}, 1)) << "there are not so many";
  const PageNeed next{2, 5};
  EXPECT_TRUE(is_safe_after({{1, 2}}, {0}, {&next, 1}, 4));
  EXPECT_FALSE(is_safe_after({{1, 2}}, {0}, {&next, 1}, 2)) << "none is left to grow";
  EXPECT_FALSE(is_safe_after({{1, 1}}, {0}, {&next, 1}, 1)) << "it cannot have what it comes with";
}

// Everybody adds a token a step and keeps its pages to the end of its last round: the bound holds at every step, and is
// not far above the worst one.
TEST(Schedule, PeakPagesBoundsWhatIsHeld) {
  EXPECT_EQ(peak_pages({}, 16, 1), 0);
  EXPECT_EQ(peak_pages({{16, 16}}, 16, 1), 2);
  EXPECT_EQ(peak_pages({{16, 0}, {15, 1}}, 16, 8), 3);
  Rng rng(6);
  for (int world = 0; world < 500; ++world) {
    const int round = world % 2 == 0 ? 1 : 8;
    std::vector<Growth> requests;
    for (int count = rng.between(1, 6); count > 0; --count) {
      requests.push_back({rng.between(1, 60), rng.between(0, 90)});
    }
    int64_t worst = 0;
    for (int64_t step = 0; step <= 96; ++step) {
      int64_t held = 0;
      for (const Growth& request : requests) {
        const int64_t last = (request.more + round - 1) / round * round;
        if (last >= step) { held += (request.tokens + std::min(step, request.more) + 15) / 16; }
      }
      worst = std::max(worst, held);
    }
    const int64_t peak = peak_pages(requests, 16, round);
    EXPECT_GE(peak, worst);
    EXPECT_LE(peak, worst + static_cast<int64_t>(requests.size()) * (round == 1 ? 1 : 2));
  }
}

// Pieces of 30 ms and steps of 2 ms: of 60 % for decoding 45 ms follow a piece, so that a token takes 2 / 0.6 ms.
TEST(DecodeShare, IsKeptHoweverManyPiecesWait) {
  DecodeShare share(0.6);
  EXPECT_TRUE(share.allows());
  double reading = 0;
  double decoding = 0;
  int steps = 0;
  while (steps < 10000) {
    if (share.allows()) {
      share.read(0.030);
      reading += 0.030;
    }
    share.decoded(0.002);
    decoding += 0.002;
    ++steps;
  }
  EXPECT_NEAR(decoding / (decoding + reading), 0.6, 0.02);
  EXPECT_NEAR((decoding + reading) / steps, 0.002 / 0.6, 1e-4);
}

TEST(DecodeShare, NothingIsOwedToNobodyAndNothingSavedUp) {
  DecodeShare none(0);
  none.read(1.0);
  EXPECT_TRUE(none.allows()) << "a share of 0 asks for nothing";
  DecodeShare half(0.5);
  for (int i = 0; i < 100; ++i) { half.decoded(0.002); }
  half.read(0.010);
  EXPECT_FALSE(half.allows()) << "steps before a piece pay for none after it";
  half.decoded(0.004);
  EXPECT_FALSE(half.allows());
  half.decoded(0.007);
  EXPECT_TRUE(half.allows());
  half.read(1.0);
  half.forgive();
  EXPECT_TRUE(half.allows());
}

TEST(Schedule, PromptsArePacedByWhatTheLastPieceTook) {
  PromptPace pace(64, 16, false);
  EXPECT_EQ(pace.piece(1000, 0.1), 64) << "nobody knows yet";
  EXPECT_EQ(pace.piece(50, 0.1), 50);
  pace.took(100, 0.2);
  EXPECT_EQ(pace.piece(1000, 0.5), 250);
  EXPECT_EQ(pace.piece(1000, 0.001), 16);
  EXPECT_EQ(pace.piece(1000, -1), 16);
  EXPECT_EQ(pace.piece(1000, 1e12), 1000);
  EXPECT_DOUBLE_EQ(pace.seconds(50), 0.1);
  PromptPace doubled(256, 256, true);
  EXPECT_EQ(doubled.piece(10000, 0.1), 256);
  doubled.took(1000, 0.01);
  EXPECT_EQ(doubled.piece(10000, 0.02), 1024);
  EXPECT_EQ(doubled.piece(10000, 0.0206), 2048);
  EXPECT_EQ(doubled.piece(10000, 0.001), 256);
  EXPECT_EQ(doubled.piece(700, 0.02), 700);
}

TEST(Schedule, SafeAgreesWithTryingEveryOrder) {
  Rng rng(5);
  int safe = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<PageNeed> needs;
    for (int count = rng.between(1, 5); count > 0; --count) {
      const int held = rng.between(0, 5);
      needs.push_back({held, held + rng.between(0, 6)});
    }
    const int free_pages = rng.between(0, 5);
    std::vector<size_t> order(needs.size());
    for (size_t i = 0; i < order.size(); ++i) { order[i] = i; }
    bool any = false;
    do {
      int left = free_pages;
      bool works = true;
      for (size_t i : order) {
        works = works && needs[i].longest - needs[i].held <= left;
        left += needs[i].held;
      }
      any = any || works;
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_EQ(is_safe(needs, free_pages), any);
    safe += any ? 1 : 0;
  }
  EXPECT_GT(safe, 300);
  EXPECT_LT(safe, 1700);
}

}  // namespace
}  // namespace vortex::engine
