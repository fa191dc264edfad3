// What a worker that generates may say: tokens of prompts that go on, run by run.
#include <gtest/gtest.h>

#include "sandbox/generation_listener.h"

namespace vortex::sandbox {
namespace {

constexpr const char* kHello = R"({"event":"hello","protocol":2,"build":"fake"})";

// Hears messages in place of a worker's.
class GenerationTest : public testing::Test {
 protected:
  GenerationTest() {
    job_.model_path = "/m";
    job_.prompts = {{1}, {2, 3}};
    job_.max_new_tokens = 2;
    job_.dense = true;
    job_.module_text = "a policy";
    events_.on_token = [this](const job::NewToken& token) { tokens_.push_back(token); };
    events_.on_run = [this](const job::GenerationRun& run) { runs_.push_back(run.dense); };
  }

  // The listener's verdict once the worker has said these messages and died with exit code 0.
  Status hear(const std::vector<std::string>& messages) {
    GenerationListener listener(job_, options_, events_);
    std::string text = job::frame(kHello);
    for (const std::string& message : messages) { text += job::frame(message); }
    for (char byte : text) { listener.take_output({&byte, 1}, 1.0); }
    fault_ = listener.protocol_fault();
    return listener.outcome(listener.misbehaved() ? Ending::kProtocol : Ending::kDied, {});
  }

  static std::string token(bool dense, size_t prompt, const std::string& end = "") {
    job::NewToken token{dense, prompt, 7, job::TokenEnd::kGoesOn};
    if (end == "stop") { token.end = job::TokenEnd::kStopToken; }
    if (end == "length") { token.end = job::TokenEnd::kLength; }
    return job::to_json(token).dump();
  }
  static std::string run(bool dense) {
    job::GenerationRun run;
    run.dense = dense;
    return job::to_json(run).dump();
  }

  job::GenerationJob job_;
  ExecutorOptions options_;
  job::GenerationEvents events_;
  std::vector<job::NewToken> tokens_;
  std::vector<bool> runs_;
  std::string fault_;
};

TEST_F(GenerationTest, DenseAndThenThePolicy) {
  const Status status = hear({token(true, 0), token(true, 1, "stop"), token(true, 0, "length"), run(true),
                              token(false, 1), token(false, 0, "stop"), token(false, 1, "length"), run(false)});
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(tokens_.size(), 6U);
  EXPECT_EQ(runs_, (std::vector<bool>{true, false}));
}

TEST_F(GenerationTest, RefusesWhatIsOutOfTurn) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{token(false, 0)}, "token out of turn"},
      {{token(true, 2)}, "token out of turn"},
      {{token(true, 0, "stop"), token(true, 0)}, "token out of turn"},
      {{token(true, 0), token(true, 0), token(true, 0)}, "token out of turn"},
      {{run(true)}, "run out of turn"},
      {{token(true, 0, "stop"), token(true, 1, "stop"), run(false)}, "run out of turn"},
      {{R"({"event":"start","stage":"race"})"}, "not asked"},
      {{R"({"event":"token","dense":true,"prompt":0,"id":1,"text":"x"})"}, "unknown key"},
  };
  for (const auto& [lines, part] : cases) {
    const Status status = hear(lines);
    ASSERT_FALSE(status.ok()) << part;
    EXPECT_EQ(status.error().blame, Blame::kInternal);
    EXPECT_NE(fault_.find(part), std::string::npos) << fault_;
  }
}

TEST_F(GenerationTest, ARefusalIsTheOutcome) {
  const Status status =
      hear({R"({"event":"refused","blame":"candidate","message":"no such model","hint":"fetch it"})"});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().blame, Blame::kCandidate);
  EXPECT_EQ(status.error().message, "no such model");
  EXPECT_EQ(status.error().hint, "fetch it");
}

TEST_F(GenerationTest, AWorkerThatDiesIsNoSuccess) {
  const Status status = hear({token(true, 0)});
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("exit code 0 without a result"), std::string::npos) << status.error().message;
}

TEST_F(GenerationTest, EndlessOutputIsRefused) {
  GenerationListener listener(job_, options_, events_);
  listener.take_output(job::frame(kHello) + "16000000\n", 1.0);
  for (int i = 0; i < 4 && !listener.misbehaved(); ++i) { listener.take_output(std::string(1 << 19, ' '), 1.0); }
  EXPECT_NE(listener.protocol_fault().find("more output"), std::string::npos) << listener.protocol_fault();
}

}  // namespace
}  // namespace vortex::sandbox
