#include "agent/llm/writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>

#include "agent/llm/recording.h"
#include "agent/propose/seeds.h"
#include "base/files.h"
#include "study/history.h"
#include "tests/agent/llm/llm_server.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {
namespace {

namespace fs = std::filesystem;

// Searches driven by a program, a server or a recording, with synthetic workers.
class WriterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "vortex-writer-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    hooks_ = test_hooks(workers_, &now_);
    options_ = test_options();
    options_.batch = 2;
    options_.max_evals = 6;
    options_.seeds_folder = (folder_ / "seeds").string();
    const Seed& seed = builtin_seeds().front();
    EXPECT_TRUE(write_file_atomic(folder_ / "seeds" / "first.py", seed.source.module_text).ok());
    EXPECT_TRUE(write_file_atomic(folder_ / "seeds" / "first.json", seed.source.config_text).ok());
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string read(const fs::path& file) { return read_file(file).value(); }

  // A reply with `count` variants of a known policy, each with another budget.
  static std::string reply(int count, int budget, const std::string& broken = "") {
    const Seed& seed = builtin_seeds().back();
    std::string text;
    for (int i = 0; i < count; ++i) {
      nlohmann::json config = nlohmann::json::parse(seed.source.config_text);
      config["vortex_topk_val"] = budget + i;
      text += "```json\n{\"name\": \"v" + std::to_string(budget + i) +
              "\", \"parents\": [2], \"operation\": \"budget\", \"rationale\": \"r\", \"hypothesis\": {\"claim\": "
              "\"faster\", \"metric\": \"speed\", \"direction\": \"higher\", \"by\": 0.1}}\n```\n```python\n" +
              seed.source.module_text + broken + "\n```\n```json\n" + config.dump() + "\n```\n";
    }
    return text;
  }

  Result<SearchEnd> search(const std::string& workspace) {
    store_ = db::Store::open(folder_ / workspace).value();
    db::Run run;
    run.name = "test";
    run.config = to_json(options_).dump();
    if (!store_->find_run("test").value()) { EXPECT_TRUE(store_->add_run(run).ok()); }
    return run_search(*store_, *store_->find_run("test").value(), options_, test_model(), hooks_);
  }

  // Everything that was decided, as text.
  std::string decisions() {
    const study::History history = study::read_history(*store_, *store_->find_run("test").value()).value();
    std::string text;
    for (const study::CandidateHistory& candidate : history.candidates) {
      const db::Candidate& row = candidate.row;
      text += std::to_string(row.batch) + "." + std::to_string(row.slot) + "." + std::to_string(row.draw) + " " +
              row.key + " " + row.module_object + " " + row.config_object + " " + std::string(name_of(row.origin)) +
              " " + row.rationale + " " + std::string(name_of(row.verdict));
      for (const db::LineageEdge& edge : candidate.parents) { text += " <" + std::to_string(edge.parent); }
      text += "\n";
    }
    for (const auto rows = store_->notes(history.run.id).value(); const db::Note& note : rows) {
      text += std::string(name_of(note.kind)) + " " + note.text + "\n";
    }
    for (const auto rows = store_->verdicts(history.run.id).value(); const db::NoteVerdict& verdict : rows) {
      text += std::to_string(verdict.note) + " " + std::string(name_of(verdict.verdict)) + " " + verdict.reason + "\n";
    }
    return text;
  }

  // A program that answers its n-th question with the file n.
  void use_command() {
    options_.proposer = "command";
    options_.writer.record_folder = (folder_ / "record").string();
    options_.writer.command = "cd " + folder_.string() +
                              "; cat > asked.json; n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; "
                              "cp asked.json asked.$n.json; cat reply.$n";
  }
  void say(int number, const std::string& text) {
    EXPECT_TRUE(write_file_atomic(folder_ / ("reply." + std::to_string(number)), text).ok());
  }

  fs::path folder_;
  SyntheticWorkers workers_;
  std::atomic<double> now_ = 1000;
  study::SearchOptions options_;
  SearchHooks hooks_;
  std::unique_ptr<db::Store> store_;
};

TEST_F(WriterTest, AProgramIsToldTheTokenBudgetAndWhatExceedsIt) {
  use_command();
  options_.token_budget = 160;
  options_.max_evals = 2;
  say(1, reply(1, 200));
  say(2, reply(1, 9));
  ASSERT_TRUE(search("a").ok());
  EXPECT_NE(read(folder_ / "asked.1.json").find("No policy may choose more than 160 tokens for one (10 pages of 16)"),
            std::string::npos);
  EXPECT_NE(read(folder_ / "asked.2.json").find("the token budget is 160"), std::string::npos);
  EXPECT_NE(decisions().find("budget"), std::string::npos);
}

TEST_F(WriterTest, AProgramWritesPoliciesAndARecordingReplaysThem) {
  use_command();
  say(1, reply(1, 10));
  say(2, reply(2, 11, "\n    oops ="));  // both refused: two repairs
  say(3, reply(1, 20));
  say(4, reply(1, 21));
  say(5, reply(2, 30));
  const auto end = search("first");
  ASSERT_TRUE(end.ok()) << end.error().message;
  const std::string first = decisions();
  EXPECT_NE(first.find(" seed "), std::string::npos);
  EXPECT_NE(first.find(" repair "), std::string::npos);
  EXPECT_NE(first.find("hypothesis faster"), std::string::npos);
  EXPECT_NE(first.find("confirmed"), std::string::npos);
  const nlohmann::json asked = nlohmann::json::parse(read(folder_ / "asked.3.json"));
  EXPECT_EQ(asked["purpose"], "repair");
  EXPECT_NE(asked["prompt"].get<std::string>().find("oops ="), std::string::npos) << "the source";
  EXPECT_FALSE(asked["context"]["refused"]["diagnostics"].get<std::string>().empty());
  const nlohmann::json later = nlohmann::json::parse(read(folder_ / "asked.5.json"));
  EXPECT_EQ(later["context"]["variants"], 2);
  EXPECT_NE(later["prompt"].get<std::string>().find("faster"), std::string::npos) << "the notebook";
  for (const auto rows = store_->llm_calls(1).value(); const db::LlmCall& call : rows) {
    EXPECT_EQ(call.state, db::CallState::kAnswered);
  }

  const auto prompts = [&](const fs::path& folder) {
    std::string all;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder)) { files.push_back(entry.path()); }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) { all += file.filename().string() + "\n" + read(file); }
    return all;
  };
  options_.proposer = "recorded";
  options_.writer.replies_folder = (folder_ / "record").string();
  options_.writer.record_folder = (folder_ / "record2").string();
  ASSERT_TRUE(search("second").ok());
  EXPECT_EQ(decisions(), first);
  EXPECT_EQ(prompts(folder_ / "record"), prompts(folder_ / "record2")) << "byte for byte";
}

TEST_F(WriterTest, AResumedSearchAsksNothingTwice) {
  use_command();
  say(1, reply(1, 10));
  say(2, reply(2, 20));
  say(3, reply(2, 30));
  std::atomic<int> jobs = 0;  // dense attention and a first batch, then the stop: no question is cut short
  hooks_.run_job = [&, run = hooks_.run_job](const auto&... arguments) {
    ++jobs;
    return run(arguments...);
  };
  hooks_.stop = [&] { return jobs > 2 ? StopLevel::kDrain : StopLevel::kNone; };
  const auto drained = search("w");
  ASSERT_TRUE(drained.ok()) << drained.error().message;
  EXPECT_EQ(*drained, SearchEnd::kInterrupted);
  hooks_.stop = [] { return StopLevel::kNone; };
  const auto resumed = search("w");
  ASSERT_TRUE(resumed.ok()) << resumed.error().message;
  EXPECT_LE(std::stoi(read(folder_ / "n")), 3);
  std::set<std::string> places;
  for (const auto rows = store_->llm_calls(1).value(); const db::LlmCall& call : rows) {
    if (call.state != db::CallState::kAnswered) { continue; }
    EXPECT_TRUE(places.insert(std::to_string(call.batch) + "." + std::to_string(call.slot)).second);
  }
}

TEST_F(WriterTest, AnUnreadableReplyIsAskedForOnceMore) {
  use_command();
  options_.max_evals = 2;
  say(1, "I would rather not.");
  say(2, reply(1, 10));
  ASSERT_TRUE(search("w").ok());
  EXPECT_EQ(read(folder_ / "n"), "2\n");
  EXPECT_NE(nlohmann::json::parse(read(folder_ / "asked.2.json"))["prompt"].get<std::string>().find("held no policy"),
            std::string::npos);
}

TEST_F(WriterTest, AProgramThatFailsIsTheEnvironmentsFault) {
  options_.proposer = "command";
  options_.writer.command = "echo broken pipe >&2; exit 7";
  const auto end = search("w");
  ASSERT_FALSE(end.ok());
  EXPECT_EQ(end.error().blame, Blame::kEnvironment);
  EXPECT_NE(end.error().message.find("exited with 7: broken pipe"), std::string::npos) << end.error().message;
  EXPECT_EQ(store_->find_run("test").value()->state, db::RunState::kInterrupted) << "resumable";
  options_.writer.command = "sleep 600";
  options_.writer.command_seconds = 0.02;  // what the search waits before it gives up, some sixty times
  const auto late = search("v");
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().message.find("missed its deadline"), std::string::npos);
  options_.writer.fallback = "evolve";
  ASSERT_TRUE(search("u").ok()) << "the evolver fills in";
  options_.writer.command.clear();
  EXPECT_EQ(search("t").error().blame, Blame::kCandidate);
}

TEST_F(WriterTest, ASearchOverHttpKeepsNoKey) {
  vortex::testing::LlmServer server;
  ::setenv("VORTEX_TEST_KEY", "sesame-open-7731", 1);
  options_.proposer = "llm";
  options_.max_evals = 3;
  options_.max_tokens = 1e6;
  options_.writer.models = nlohmann::json({{"models",
                                            {{{"name", "local"},
                                              {"url", server.base()},
                                              {"api", "chat"},
                                              {"model", "m"},
                                              {"key_env", "VORTEX_TEST_KEY"}}}},
                                           {"first_pause", 0.02}})
                               .dump();
  server.behave({"status:500"}, reply(2, 10) + "sesame-open-7731");
  const auto end = search("w");
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_NE(decisions().find(" llm "), std::string::npos);
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (!entry.is_regular_file()) { continue; }
    EXPECT_EQ(read(entry.path()).find("sesame-open-7731"), std::string::npos) << entry.path();
  }
}

}  // namespace
}  // namespace vortex::agent
