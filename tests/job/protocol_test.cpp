#include "job/protocol.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "sandbox/ending.h"

namespace vortex::job {
namespace {

StageResult some_result() {
  StageResult result;
  result.stage = Stage::kRace;
  result.verdict = Verdict::kPass;
  result.metrics = {{"accuracy", 0.5, 0.25, 0.75, ""}};
  result.evidence = {{"build", "x"}};
  return result;
}

std::string_view without_newline(std::string_view line) {
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
  return line.substr(0, line.size() - 1);
}

TEST(Protocol, EventsGoBothWays) {
  const auto hello = parse_event(without_newline(event_line(Hello{kProtocolVersion, "build\n7"})));
  ASSERT_TRUE(hello.ok());
  EXPECT_EQ(std::get<Hello>(*hello).build, "build\n7");
  const auto start = parse_event(without_newline(event_line(StageStart{Stage::kSpeed})));
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(std::get<StageStart>(*start).stage, Stage::kSpeed);
  EXPECT_EQ(std::get<StageStart>(*start).planned, 0);
  const auto planned = parse_event(without_newline(event_line(StageStart{Stage::kRace, 2.5})));
  ASSERT_TRUE(planned.ok());
  EXPECT_EQ(std::get<StageStart>(*planned).planned, 2.5);
  EXPECT_FALSE(parse_event(R"({"event": "start", "stage": "race", "planned": -1})").ok());
  const auto result = parse_event(without_newline(event_line(some_result())));
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(job::to_json(std::get<StageResult>(*result)), job::to_json(some_result()));
}

TEST(Protocol, JobsGoBothWays) {
  Job job;
  job.id = "a";
  job.model_path = "/m";
  job.module_text = "line\nline \xff";
  job.stages = {Stage::kCompile};
  const auto back = parse_request(without_newline(request_line(job)));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(std::get<Job>(*back).module_text, "line\nline \xef\xbf\xbd");
  EXPECT_FALSE(parse_request(R"({"protocol": 2, "job": {}})").ok());
  EXPECT_FALSE(parse_request(R"({"job": {}})").ok());
  EXPECT_FALSE(parse_request(R"({"protocol": 1})").ok());
}

TEST(Protocol, GenerationsGoBothWays) {
  GenerationJob job;
  job.model_path = "/m";
  job.dense = true;
  job.config_text = "{}";
  job.prompts = {{1, 2, 3}, {0}};
  job.temperature = 0.6;
  job.seed = 1ULL << 63;
  const auto back = parse_request(without_newline(request_line(job)));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(job::to_json(std::get<GenerationJob>(*back)), job::to_json(job));
  const NewToken token{true, 1, 77, TokenEnd::kStopToken};
  const auto told = parse_event(without_newline(event_line(token)));
  ASSERT_TRUE(told.ok()) << told.error().message;
  EXPECT_EQ(job::to_json(std::get<NewToken>(*told)), job::to_json(token));
  GenerationRun run;
  run.pages_visible = 9;
  run.decode_seconds = 0.5;
  const auto ran = parse_event(without_newline(event_line(run)));
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_EQ(job::to_json(std::get<GenerationRun>(*ran)), job::to_json(run));
  const auto refused = parse_event(without_newline(event_line(Refusal{candidate_error("no\x1b", "so")})));
  ASSERT_TRUE(refused.ok()) << refused.error().message;
  EXPECT_EQ(std::get<Refusal>(*refused).error.message, "no?");
  EXPECT_EQ(std::get<Refusal>(*refused).error.blame, Blame::kCandidate);
}

TEST(Protocol, RefusesImpossibleGenerations) {
  const auto refuses = [](const char* body, const char* part) {
    const auto read =
        parse_request(std::string(R"({"protocol": 1, "generation": {"model_path": "/m", )") + body + "}}");
    ASSERT_FALSE(read.ok()) << body;
    EXPECT_NE(read.error().message.find(part), std::string::npos) << read.error().message;
  };
  refuses(R"("dense": true)", "prompts is missing");
  refuses(R"("dense": true, "prompts": [])", "must be a list");
  refuses(R"("dense": true, "prompts": [[]])", "empty prompt");
  refuses(R"("dense": true, "prompts": [[-1]])", "token that is none");
  refuses(R"("dense": true, "prompts": [[1]], "max_new_tokens": 0)", "out of range");
  refuses(R"("prompts": [[1]])", "where there is no policy");
  EXPECT_FALSE(parse_event(R"({"event": "token", "dense": true, "prompt": 0, "id": 1, "end": "never"})").ok());
  EXPECT_FALSE(parse_event(R"({"event": "token", "dense": true, "prompt": 0, "id": -1})").ok());
}

// Any change of any byte of a line gives a value or an error, never a crash (run under the sanitizers).
TEST(Protocol, SurvivesDamagedLines) {
  const std::string line = event_line(some_result());
  Rng rng(1);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = line.substr(0, line.size() - 1);
    for (uint64_t hits = rng.below(4); hits < 4; ++hits) {
      const size_t at = rng.below(damaged.size());
      if (rng.below(3) == 0) {
        damaged.erase(at, rng.below(9));
      } else {
        damaged[at] = static_cast<char>(rng.below(256));
      }
      if (damaged.empty()) break;
    }
    refused += parse_event(damaged).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 1500);
}

TEST(Protocol, RefusesDepthBeforeParsing) {
  EXPECT_FALSE(parse_event(std::string(100'000, '[')).ok());
  EXPECT_FALSE(parse_event(std::string(100'000, ']') + std::string(100'000, '[')).ok());
  const std::string brackets_in_text =
      R"({"event": "hello", "protocol": 1, "build": ")" + std::string(1000, '[') + "\"}";
  EXPECT_TRUE(parse_event(brackets_in_text).ok());
}

TEST(Printable, KeepsTextAndDropsControls) {
  EXPECT_EQ(printable("plain\ttext\n"), "plain\ttext\n");
  EXPECT_EQ(printable("\xc3\xbc \xe2\x82\xac"), "\xc3\xbc \xe2\x82\xac");
  EXPECT_EQ(printable("a\x1b[2Jb\r\x7f"), "a?[2Jb??");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "?31m")
      << "the one-byte form of an escape sequence";
  EXPECT_EQ(printable("cut \xe2\x82"), "cut \xef\xbf\xbd");
  EXPECT_EQ(printable(std::string_view("\0", 1)), "?");
}

}  // namespace
}  // namespace vortex::job
