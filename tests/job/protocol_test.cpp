#include "job/protocol.h"

#include <gtest/gtest.h>

#include "base/escape.h"
#include "base/rng.h"

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

std::string payload_of(std::string_view whole) {
  FrameReader reader;
  const auto payload = reader.take(whole);
  EXPECT_TRUE(payload.ok() && *payload && whole.empty()) << "one whole frame";
  return payload.ok() && *payload ? **payload : "";
}

TEST(Protocol, EventsGoBothWays) {
  const auto hello = parse_event(payload_of(event_frame(Hello{kProtocolVersion, "build\n7"})));
  ASSERT_TRUE(hello.ok());
  EXPECT_EQ(std::get<Hello>(*hello).build, "build\n7");
  const auto start = parse_event(payload_of(event_frame(StageStart{Stage::kSpeed})));
  ASSERT_TRUE(start.ok());
  EXPECT_EQ(std::get<StageStart>(*start).stage, Stage::kSpeed);
  EXPECT_EQ(std::get<StageStart>(*start).planned, 0);
  const auto planned = parse_event(payload_of(event_frame(StageStart{Stage::kRace, 2.5})));
  ASSERT_TRUE(planned.ok());
  EXPECT_EQ(std::get<StageStart>(*planned).planned, 2.5);
  EXPECT_FALSE(parse_event(R"({"event": "start", "stage": "race", "planned": -1})").ok());
  const auto result = parse_event(payload_of(event_frame(some_result())));
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(to_json(std::get<StageResult>(*result)), to_json(some_result()));
}

TEST(Protocol, JobsGoBothWays) {
  Job job;
  job.id = "a";
  job.model_path = "/m";
  job.module_text = "line\nline \xff";
  job.stages = {Stage::kCompile};
  const auto back = parse_request(payload_of(request_frame(job)));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(std::get<Job>(*back).module_text, "line\nline \xef\xbf\xbd");
  EXPECT_FALSE(parse_request(R"({"protocol": 3, "job": {}})").ok());
  EXPECT_FALSE(parse_request(R"({"job": {}})").ok());
  EXPECT_FALSE(parse_request(R"({"protocol": 2})").ok());
}

TEST(Protocol, GenerationsGoBothWays) {
  GenerationJob job;
  job.model_path = "/m";
  job.dense = true;
  job.config_text = "{}";
  job.prompts = {{1, 2, 3}, {0}};
  job.temperature = 0.6;
  job.seed = 1ULL << 63;
  const auto back = parse_request(payload_of(request_frame(job)));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(to_json(std::get<GenerationJob>(*back)), to_json(job));
  const NewToken token{true, 1, 77, TokenEnd::kStopToken};
  const auto told = parse_event(payload_of(event_frame(token)));
  ASSERT_TRUE(told.ok()) << told.error().message;
  EXPECT_EQ(to_json(std::get<NewToken>(*told)), to_json(token));
  GenerationRun run;
  run.pages_visible = 9;
  run.decode_seconds = 0.5;
  const auto ran = parse_event(payload_of(event_frame(run)));
  ASSERT_TRUE(ran.ok()) << ran.error().message;
  EXPECT_EQ(to_json(std::get<GenerationRun>(*ran)), to_json(run));
  const auto refused = parse_event(payload_of(event_frame(Refusal{candidate_error("no\x1b", "so")})));
  ASSERT_TRUE(refused.ok()) << refused.error().message;
  EXPECT_EQ(std::get<Refusal>(*refused).error.message, "no?");
  EXPECT_EQ(std::get<Refusal>(*refused).error.blame, Blame::kCandidate);
}

TEST(Protocol, RefusesImpossibleGenerations) {
  const auto refuses = [](const char* body, const char* part) {
    const auto read =
        parse_request(std::string(R"({"protocol": 2, "generation": {"model_path": "/m", )") + body + "}}");
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

// Any change of any byte of a message gives a value or an error, never a crash (run under the sanitizers).
TEST(Protocol, SurvivesDamagedMessages) {
  const std::string whole = payload_of(event_frame(some_result()));
  Rng rng(1);
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    for (uint64_t hits = rng.below(4); hits < 4; ++hits) {
      const size_t at = rng.below(damaged.size());
      if (rng.below(3) == 0) {
        damaged.erase(at, rng.below(9));
      } else {
        damaged[at] = static_cast<char>(rng.below(256));
      }
      if (damaged.empty()) { break; }
    }
    refused += parse_event(damaged).ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 1500);
}

TEST(Protocol, RefusesDepthBeforeParsing) {
  EXPECT_FALSE(parse_event(std::string(100'000, '[')).ok());
  EXPECT_FALSE(parse_event(std::string(100'000, ']') + std::string(100'000, '[')).ok());
  const std::string brackets_in_text =
      R"({"event": "hello", "protocol": 2, "build": ")" + std::string(1000, '[') + "\"}";
  EXPECT_TRUE(parse_event(brackets_in_text).ok());
}

TEST(Printable, KeepsTextAndDropsControls) {
  EXPECT_EQ(terminal_text("plain\ttext\n"), "plain\ttext\n");
  EXPECT_EQ(terminal_text("\xc3\xbc \xe2\x82\xac"), "\xc3\xbc \xe2\x82\xac");
  EXPECT_EQ(terminal_text("a\x1b[2Jb\r\x7f"), "a?[2Jb??");
  EXPECT_EQ(terminal_text("\xc2\x9b"
                          "31m"),
            "?31m")
      << "the one-byte form of an escape sequence";
  EXPECT_EQ(terminal_text("cut \xe2\x82"), "cut \xef\xbf\xbd");
  EXPECT_EQ(terminal_text(std::string_view("\0", 1)), "?");
}

// The messages of a stream, however it is cut; behind them the fault that ended it, if one did.
std::vector<std::string> read_in_pieces(std::string_view stream, size_t piece) {
  FrameReader reader;
  std::vector<std::string> messages;
  for (size_t at = 0; at < stream.size(); at += piece) {
    std::string_view bytes = stream.substr(at, piece);
    for (;;) {
      auto payload = reader.take(bytes);
      if (!payload.ok()) {
        messages.push_back("fault: " + payload.error().message);
        return messages;
      }
      if (!*payload) { break; }
      messages.push_back(**payload);
    }
  }
  return messages;
}

TEST(Frame, IsReadHoweverItIsCut) {
  const std::string stream = frame("one") + frame("") + frame("a\nb\n") + frame(std::string(3000, 'x'));
  const std::vector<std::string> expected = {"one", "", "a\nb\n", std::string(3000, 'x')};
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}, stream.size()}) {
    EXPECT_EQ(read_in_pieces(stream, piece), expected) << piece;
  }
}

TEST(Frame, ALieAboutALengthIsNoticedAtOnce) {
  const auto fault = [](std::string_view stream) {
    const std::vector<std::string> whole = read_in_pieces(stream, stream.size());
    EXPECT_EQ(whole.size(), read_in_pieces(stream, 1).size()) << stream;
    return whole.empty() ? std::string() : whole.back();
  };
  EXPECT_NE(fault("3\nfour\n").find("does not end where its length of 3 bytes says"), std::string::npos);
  EXPECT_NE(fault("99999999\n").find("longer than the protocol allows"), std::string::npos);
  EXPECT_NE(fault("123456789").find("not a frame"), std::string::npos);
  EXPECT_NE(fault("-1\nx").find("not a frame"), std::string::npos);
  EXPECT_NE(fault("0x2\n{}\n").find("not a frame"), std::string::npos);
  EXPECT_NE(fault("\n").find("not a frame"), std::string::npos);
  EXPECT_NE(fault("hello world\n").find("not a frame"), std::string::npos);
  EXPECT_EQ(fault("5\nfour"), "") << "the rest may still come: a deadline is the listener's business";
}

}  // namespace
}  // namespace vortex::job
