// The engine's thread: who comes and goes harms nobody, and leaves no page taken.
#include "serve/dispatcher.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/serve/support.h"

namespace vortex::serve {
namespace {

// Where the tokens of a request arrive, from the engine's thread.
struct Heard {
  std::promise<std::vector<int32_t>> promise;
  std::future<std::vector<int32_t>> all = promise.get_future();
  std::promise<void> begun;
  std::future<void> first = begun.get_future();
  std::vector<int32_t> tokens;
  std::string error;
};

Work work_of(uint64_t seed, int new_tokens, const std::shared_ptr<Heard>& heard) {
  Work work;
  work.request.request.prompt = testing::random_tokens(20 + static_cast<int>(seed) * 7, 500, seed);
  work.request.request.seed = seed;
  work.request.request.sampling.temperature = 1.0;
  work.request.request.max_new_tokens = new_tokens;
  work.request.request.ignore_eos = true;
  work.request.on_token = [heard](const engine::LiveToken& token) {
    heard->tokens.push_back(token.token);
    if (heard->tokens.size() == 1) { heard->begun.set_value(); }
    if (token.last) { heard->promise.set_value(heard->tokens); }
  };
  work.on_error = [heard](const Error& error) {
    heard->error = error.message;
    heard->promise.set_value({});
  };
  return work;
}

std::vector<Work> one(Work work) {
  std::vector<Work> list;
  list.push_back(std::move(work));
  return list;
}

// Waits until the thread has done what it was told before.
void settle(Dispatcher& dispatcher) {
  const auto pong = std::make_shared<std::promise<void>>();
  dispatcher.ping([pong] { pong->set_value(); });
  pong->get_future().wait();
}

std::vector<int32_t> alone(uint64_t seed, int new_tokens) {
  const auto engine = testing::byte_engine(1);
  Dispatcher dispatcher(testing::lanes_of({engine}), 1);
  const auto heard = std::make_shared<Heard>();
  EXPECT_TRUE(dispatcher.submit(0, one(work_of(seed, new_tokens, heard))));
  return heard->all.get();
}

TEST(Dispatcher, ARequestsTokensDoNotDependOnItsCompany) {
  const auto engine = testing::byte_engine(3);
  const auto other = testing::byte_engine(3);
  Dispatcher dispatcher(testing::lanes_of({engine, other}), 16);
  std::vector<std::shared_ptr<Heard>> heard;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    heard.push_back(std::make_shared<Heard>());
    ASSERT_TRUE(dispatcher.submit(seed % 2, one(work_of(seed, 30, heard.back()))));
  }
  for (uint64_t seed = 0; seed < 8; ++seed) { EXPECT_EQ(heard[seed]->all.get(), alone(seed, 30)) << seed; }
  settle(dispatcher);
  EXPECT_EQ(dispatcher.outstanding(), 0);
  for (const engine::SessionUse& use : dispatcher.use()) {
    EXPECT_EQ(use.free_pages, use.pages);
    EXPECT_EQ(use.running + use.waiting, 0);
  }
}

TEST(Dispatcher, CancelledRequestsGiveTheirPagesBackAndHarmNobody) {
  const auto engine = testing::byte_engine(4);
  Dispatcher dispatcher(testing::lanes_of({engine}), 16);
  const auto kept = std::make_shared<Heard>();
  ASSERT_TRUE(dispatcher.submit(0, one(work_of(1, 120, kept))));
  for (uint64_t seed = 2; seed < 8; ++seed) {
    const auto gone = std::make_shared<Heard>();
    const auto id = dispatcher.submit(0, one(work_of(seed, 150, gone)));
    ASSERT_TRUE(id);
    if (seed % 2 == 0) { gone->first.wait(); }  // half of them while they decode, half wherever they are
    dispatcher.cancel(*id);
    dispatcher.cancel(*id);
    settle(dispatcher);
    const size_t told = gone->tokens.size();
    settle(dispatcher);
    EXPECT_EQ(gone->tokens.size(), told) << "not a word after the end";
  }
  EXPECT_EQ(kept->all.get(), alone(1, 120));
  dispatcher.cancel(12345);
  settle(dispatcher);
  EXPECT_EQ(dispatcher.outstanding(), 0);
  EXPECT_EQ(dispatcher.use()[0].free_pages, dispatcher.use()[0].pages);
}

TEST(Dispatcher, TakesAllOfARequestOrNothing) {
  const auto engine = testing::byte_engine(1);
  Dispatcher dispatcher(testing::lanes_of({engine}), 3);
  std::vector<std::shared_ptr<Heard>> heard;
  const auto several = [&heard](uint64_t count) {
    std::vector<Work> work;
    for (uint64_t i = 0; i < count; ++i) {
      heard.push_back(std::make_shared<Heard>());
      work.push_back(work_of(i, 60, heard.back()));
    }
    return work;
  };
  EXPECT_FALSE(dispatcher.submit(0, several(4)));
  heard.clear();
  const auto first = dispatcher.submit(0, several(2));
  ASSERT_TRUE(first);
  EXPECT_FALSE(dispatcher.submit(0, several(2))) << "one would have room, two have not";
  dispatcher.cancel(*first);
  dispatcher.cancel(*first + 1);
  settle(dispatcher);
  EXPECT_TRUE(dispatcher.submit(0, several(3)));
}

TEST(Dispatcher, ARequestThatCannotRunHearsWhy) {
  const auto engine = testing::byte_engine(1);
  Dispatcher dispatcher(testing::lanes_of({engine}), 3);
  const auto heard = std::make_shared<Heard>();
  ASSERT_TRUE(dispatcher.submit(0, one(work_of(1, 5000, heard))));
  EXPECT_TRUE(heard->all.get().empty());
  EXPECT_NE(heard->error.find("context"), std::string::npos) << heard->error;
  settle(dispatcher);
  EXPECT_EQ(dispatcher.outstanding(), 0);
}

TEST(Dispatcher, ASessionThatFailsIsReplacedAndItsRequestsHearOfIt) {
  const auto engine = testing::byte_engine(2);
  int opened = 0;
  std::vector<Lane> lanes;
  lanes.push_back({"one", [&]() -> std::unique_ptr<engine::Session> {
                     if (++opened == 1) { return std::make_unique<testing::FailingSession>(engine->session(), 3); }
                     return engine->session();
                   }});
  Dispatcher dispatcher(std::move(lanes), 4);
  const auto failed = std::make_shared<Heard>();
  ASSERT_TRUE(dispatcher.submit(0, one(work_of(1, 100, failed))));
  EXPECT_TRUE(failed->all.get().empty());
  EXPECT_EQ(failed->error, "out of memory");
  const auto next = std::make_shared<Heard>();
  ASSERT_TRUE(dispatcher.submit(0, one(work_of(2, 20, next))));
  EXPECT_EQ(next->all.get(), alone(2, 20));
  EXPECT_EQ(opened, 2);
}

}  // namespace
}  // namespace vortex::serve
