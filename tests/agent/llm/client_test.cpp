#include "agent/llm/client.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "agent/llm/reply.h"
#include "agent/session/budget.h"
#include "tests/agent/llm/llm_server.h"

namespace vortex::agent {
namespace {

using nlohmann::json;

constexpr double kTokenLimit = 1e8;  // more than several replies without end come to

// One model of a server that misbehaves, asked through each wire format.
class ClientTest : public ::testing::TestWithParam<std::tuple<const char*, bool>> {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "vortex-llm-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    store_ = db::Store::open(folder_).value();
    db::Run run;
    run.name = "r";
    run.config = "{}";
    run.id = store_->add_run(run).value();
    run_ = run.id;
    budget_ = std::make_unique<Budget>(
        *store_, run, study::Limits{{study::Resource::kTokens, kTokenLimit}, {study::Resource::kDollars, 1e3}}, 0,
        [] { return 0.0; });
    book_ = std::make_unique<CallBook>(*store_, run_);
    book_->set_budget(budget_.get());
    ::setenv("VORTEX_TEST_KEY", "sesame-open-7731", 1);
    model_.name = "local";
    model_.url = server_.base();
    model_.api = std::get<0>(GetParam());
    model_.stream = std::get<1>(GetParam());
    model_.model = "m-1";
    model_.key_env = "VORTEX_TEST_KEY";
    model_.input_price = 1;
    model_.output_price = 5;
    model_.max_output_tokens = 500;
    model_.idle_seconds = 1;
    model_.total_seconds = 1.5;
    roster_.models = {model_};
    roster_.first_pause = 0.02;
    roster_.longest_wait = 3;
    ask_.batch = 1;
    ask_.system = "be brief";
    ask_.prompt = "write a policy";
    ask_.reply_schema = reply_schema();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<std::optional<Answer>> ask() { return ask_model(model_, roster_, ask_, *book_, {}); }
  std::vector<db::LlmCall> calls() { return store_->llm_calls(run_).value(); }
  double tokens() const { return budget_->used(study::Resource::kTokens); }

  // No row may be left in flight, and what is booked is what the rows say.
  void expect_settled() {
    double booked = 0;
    double dollars = 0;
    for (const db::LlmCall& call : calls()) {
      EXPECT_NE(call.state, db::CallState::kSent);
      booked += static_cast<double>(call.input_tokens + call.output_tokens);
      dollars += call.dollars;
    }
    EXPECT_DOUBLE_EQ(tokens(), booked);
    EXPECT_NEAR(budget_->used(study::Resource::kDollars), dollars, 1e-12);
    for (const auto rows = store_->spends(run_).value(); const db::Spend& spend : rows) { EXPECT_TRUE(spend.settled); }
  }

  vortex::testing::LlmServer server_;
  std::filesystem::path folder_;
  std::unique_ptr<db::Store> store_;
  int64_t run_ = 0;
  std::unique_ptr<Budget> budget_;
  std::unique_ptr<CallBook> book_;
  ModelSpec model_;
  Roster roster_;
  Ask ask_;
};

TEST_P(ClientTest, GetsAReplyAndBooksItOnce) {
  server_.behave({}, "hello there");
  const auto answer = ask();
  ASSERT_TRUE(answer.ok() && answer->has_value()) << answer.error().message;
  EXPECT_EQ((*answer)->text, "hello there");
  EXPECT_EQ((*answer)->finish, "stop");
  EXPECT_EQ((*answer)->input_tokens, 1000);
  EXPECT_EQ((*answer)->output_tokens, 200);
  EXPECT_DOUBLE_EQ((*answer)->dollars, 0.002);
  EXPECT_EQ(tokens(), 1200);
  ASSERT_EQ(calls().size(), 1u);
  EXPECT_EQ(calls()[0].state, db::CallState::kAnswered);
  expect_settled();
  ask_.round = 1;
  EXPECT_EQ(book_->find(ask_).value()->text, "hello there") << "a resumed search finds it";
  EXPECT_EQ(server_.log().size(), 1u);
}

TEST_P(ClientTest, TemporaryFailuresAreRepeatedAndCostNothing) {
  server_.behave({"status:429:1", "status:500", "status:503"});
  const auto start = std::chrono::steady_clock::now();
  const auto answer = ask();
  ASSERT_TRUE(answer.ok() && answer->has_value());
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1)) << "Retry-After counts";
  ASSERT_EQ(calls().size(), 4u);
  EXPECT_EQ(calls()[0].state, db::CallState::kFailed);
  EXPECT_EQ(calls()[0].input_tokens, 0);
  EXPECT_EQ(tokens(), 1200);
  expect_settled();
}

TEST_P(ClientTest, AnOutageIsTheEnvironmentsAfterBoundedAttempts) {
  server_.behave(std::vector<std::string>(20, "status:503"));
  const auto answer = ask();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().blame, Blame::kEnvironment);
  EXPECT_EQ(server_.log().size(), static_cast<size_t>(roster_.attempts));
  server_.behave({"status:429:100000"});
  EXPECT_FALSE(ask().ok()) << "a wait beyond longest_wait ends the attempts";
  EXPECT_EQ(server_.log().size(), 1u);
  model_.url = "http://127.0.0.1:1/v1";
  roster_.attempts = 2;
  const auto nobody = ask();
  ASSERT_FALSE(nobody.ok());
  EXPECT_EQ(nobody.error().blame, Blame::kEnvironment);
  EXPECT_EQ(tokens(), 0);
  expect_settled();
}

TEST_P(ClientTest, RefusedRequestsAreNotRepeatedAndBlamedRight) {
  const std::vector<std::pair<std::string, Blame>> cases = {{"status:401", Blame::kEnvironment},
                                                            {"status:403", Blame::kEnvironment},
                                                            {"status:400", Blame::kCandidate},
                                                            {"status:404", Blame::kCandidate},
                                                            {"status:422", Blame::kCandidate}};
  for (const auto& [behaviour, blame] : cases) {
    server_.behave({behaviour});
    const auto answer = ask();
    ASSERT_FALSE(answer.ok()) << behaviour;
    EXPECT_EQ(answer.error().blame, blame) << behaviour;
    EXPECT_FALSE(answer.error().hint.empty());
    EXPECT_EQ(server_.log().size(), 1u);
  }
  expect_settled();
}

// What may have been paid for is tried twice, not five times, and what it cost is counted.
TEST_P(ClientTest, BrokenRepliesArePaidForAndTriedTwice) {
  const bool stream = model_.stream;
  std::vector<std::string> broken = {"cut", "garbage", "html", "trickle", "hang"};
  if (stream) { broken.insert(broken.end(), {"giant", "error-event"}); }
  for (const std::string& behaviour : broken) {
    const double before = tokens();
    model_.total_seconds = behaviour == "hang" || behaviour == "trickle" ? 0.5 : 1.5;  // every attempt waits so long
    server_.behave(std::vector<std::string>(5, behaviour));
    const auto start = std::chrono::steady_clock::now();
    const auto answer = ask();
    ASSERT_FALSE(answer.ok()) << behaviour;
    EXPECT_EQ(answer.error().blame, Blame::kEnvironment) << behaviour;
    EXPECT_LE(server_.log().size(), behaviour == "hang" ? 5u : 2u) << behaviour;
    if (behaviour != "hang") { EXPECT_GT(tokens(), before) << behaviour; }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30)) << behaviour << " hangs";
    server_.behave({behaviour});
    roster_.attempts = 2;
    EXPECT_TRUE(ask().ok()) << "one " << behaviour << " is survived";
    roster_.attempts = 5;
    expect_settled();
  }
}

TEST_P(ClientTest, EndsOfRepliesAreTold) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"length", "length"}, {"refusal", "refusal"}, {"strange", "stop"}};
  for (const auto& [behaviour, finish] : cases) {
    if (behaviour == "strange" && model_.api == "responses") { continue; }
    server_.behave({behaviour}, "half a pol");
    const auto answer = ask();
    ASSERT_TRUE(answer.ok() && answer->has_value()) << behaviour;
    EXPECT_EQ((*answer)->finish, finish);
    EXPECT_EQ((*answer)->text, "half a pol");
    EXPECT_EQ(server_.log().size(), 1u) << "a refusal is an answer";
  }
}

TEST_P(ClientTest, TokensAreEstimatedWhereTheEndpointDoesNotCount) {
  server_.behave({}, std::string(400, 'x'), false);
  const auto answer = ask();
  ASSERT_TRUE(answer.ok() && answer->has_value());
  EXPECT_EQ((*answer)->output_tokens, 100);
  EXPECT_GT((*answer)->input_tokens, 0);
}

TEST_P(ClientTest, TheBudgetIsAskedBeforeAnythingIsSent) {
  budget_->book(study::Resource::kTokens, kTokenLimit - 300);  // less than a reply may take
  server_.behave({});
  const auto answer = ask();
  ASSERT_TRUE(answer.ok());
  EXPECT_FALSE(answer->has_value());
  EXPECT_TRUE(server_.log().empty());
  EXPECT_TRUE(calls().empty());
}

TEST_P(ClientTest, TheKeyIsSentAndNeverKept) {
  const std::string key = "sesame-open-7731";
  server_.behave({"status:500", "status:401"}, "your key is " + key);
  const auto refused = ask();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ((refused.error().message + refused.error().hint).find(key), std::string::npos);
  EXPECT_NE(server_.log().dump().find(key), std::string::npos) << "it was sent";
  server_.behave({}, "your key is " + key);
  EXPECT_EQ(ask().value()->text, "your key is [key]");
  store_.reset();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file()) { continue; }
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    EXPECT_EQ(bytes.find(key), std::string::npos) << entry.path();
  }
  store_ = db::Store::open(folder_).value();
  ::unsetenv("VORTEX_TEST_KEY");
  CallBook book(*store_, run_);
  const auto without = ask_model(model_, roster_, ask_, book, {});
  ASSERT_FALSE(without.ok());
  EXPECT_EQ(without.error().blame, Blame::kCandidate);
}

TEST_P(ClientTest, AKeyMayEndAsItsFileDoes) {
  server_.behave({});
  ::setenv("VORTEX_TEST_KEY", " sesame-open-7731\r\n", 1);
  ASSERT_TRUE(ask().ok());
  const std::string headers = server_.log()[0]["headers"].dump();
  EXPECT_NE(headers.find("sesame-open-7731\""), std::string::npos) << headers;
  for (const char* value : {"", "\n", "sesame\r\nX-Other: 1", "two words"}) {
    ::setenv("VORTEX_TEST_KEY", value, 1);
    const auto refused = ask();
    ASSERT_FALSE(refused.ok()) << value;
    EXPECT_EQ(refused.error().blame, Blame::kCandidate);
    EXPECT_EQ(refused.error().message.find("sesame"), std::string::npos) << refused.error().message;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ClientTest,
                         ::testing::Combine(::testing::Values("chat", "responses", "messages"), ::testing::Bool()),
                         [](const auto& made) {
                           return std::string(std::get<0>(made.param)) + (std::get<1>(made.param) ? "Stream" : "Whole");
                         });

TEST(BreakerTest, RestsLongerAfterEveryFailure) {
  EndpointBreaker breaker(60);
  EXPECT_TRUE(breaker.awake(0));
  breaker.failed(100);
  EXPECT_FALSE(breaker.awake(159));
  EXPECT_TRUE(breaker.awake(160));
  breaker.failed(160);
  EXPECT_FALSE(breaker.awake(279));
  for (int i = 0; i < 10; ++i) { breaker.failed(1000); }
  EXPECT_TRUE(breaker.awake(1900)) << "never longer than 15 minutes";
  breaker.succeeded();
  breaker.failed(2000);
  EXPECT_TRUE(breaker.awake(2060));
}

}  // namespace
}  // namespace vortex::agent
