// Loads, recorded and made up, and what is said of them.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "serve/load/plan.h"
#include "serve/load/run.h"
#include "serve/load/summary.h"

namespace vortex::load {
namespace {

double mean_gap(const std::vector<LoadRequest>& requests) {
  return requests.back().at / static_cast<double>(requests.size() - 1);
}

// Of the gaps: 1 is Poisson, more comes in bursts.
double variation(const std::vector<LoadRequest>& requests) {
  const double mean = mean_gap(requests);
  double squares = 0;
  for (size_t i = 1; i < requests.size(); ++i) { squares += std::pow(requests[i].at - requests[i - 1].at - mean, 2); }
  return std::sqrt(squares / static_cast<double>(requests.size() - 1)) / mean;
}

TEST(Load, ArrivalsHaveTheirRateAndTheirShape) {
  MadeUp what;
  what.requests = 20000;
  what.rate = 4;
  EXPECT_NEAR(mean_gap(make_up(what)), 0.25, 0.01);
  EXPECT_NEAR(variation(make_up(what)), 1.0, 0.05);
  what.arrivals = Arrivals::kGamma;
  what.smoothness = 0.25;
  EXPECT_NEAR(mean_gap(make_up(what)), 0.25, 0.015);
  EXPECT_NEAR(variation(make_up(what)), 2.0, 0.1) << "1 / sqrt(shape)";
  what.smoothness = 4;
  EXPECT_NEAR(variation(make_up(what)), 0.5, 0.05);
  what.arrivals = Arrivals::kConstant;
  EXPECT_NEAR(variation(make_up(what)), 0.0, 1e-6);
  what.rate = 0;
  EXPECT_EQ(make_up(what).back().at, 0) << "all at once";
}

TEST(Load, PromptsShareTheirFirstBlocks) {
  MadeUp what;
  what.requests = 3;
  what.prompt_tokens = 1500;
  what.shared_tokens = 1024;
  const std::vector<LoadRequest> requests = make_up(what);
  const std::vector<int32_t> a = prompt_of(requests[0], 5, 100, 1);
  const std::vector<int32_t> b = prompt_of(requests[1], 5, 100, 1);
  ASSERT_EQ(a.size(), 1500U);
  EXPECT_TRUE(std::equal(a.begin(), a.begin() + 1024, b.begin()));
  EXPECT_FALSE(std::equal(a.begin() + 1024, a.end(), b.begin() + 1024));
  EXPECT_EQ(a, prompt_of(requests[0], 5, 100, 1)) << "the same every time";
  EXPECT_NE(a, prompt_of(requests[0], 5, 100, 2));
  EXPECT_GE(*std::min_element(a.begin(), a.end()), 5);
  EXPECT_LT(*std::max_element(a.begin(), a.end()), 100);
}

TEST(Load, AMooncakeTraceIsReplayed) {
  const char* text =
      "{\"timestamp\": 3000, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [7, 8]}\n"
      "{\"timestamp\": 3000, \"input_length\": 512, \"output_length\": 6, \"hash_ids\": [7]}\n"
      "{\"timestamp\": 6000, \"input_length\": 10, \"output_length\": 0, \"hash_ids\": [9]}\n\n"
      "{\"timestamp\": 9000, \"input_length\": 20, \"output_length\": 7}\n";
  std::vector<LoadRequest> requests = parse_trace(text, "t").value();
  ASSERT_EQ(requests.size(), 3U) << "what has no output failed when it was recorded";
  apply({2, false, 0}, requests);
  EXPECT_EQ(requests[0].at, 0);
  EXPECT_EQ(requests[1].at, 0);
  EXPECT_EQ(requests[2].at, 3);
  apply({1, true, 0}, requests);
  EXPECT_EQ(requests[1].at, 1.5) << "evenly until the next time stamp";
  const std::vector<int32_t> first = prompt_of(requests[0], 0, 1000, 1);
  EXPECT_EQ(first.size(), 600U);
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + 512, prompt_of(requests[1], 0, 1000, 1).begin()));
  for (const char* bad :
       {"", "[1]", "{\"timestamp\": 1, \"input_length\": 0, \"output_length\": 1}", "{\"timestamp\": 1}"}) {
    EXPECT_FALSE(parse_trace(bad, "t").ok()) << bad;
  }
}

TEST(Load, AStreamIsReadHoweverItIsCut) {
  const std::string stream =
      ": a comment\n\n"
      "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":null}]}\n\n"
      "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":null}\r\n\r\n"
      "data:{\"choices\":[{\"text\":\"b\"}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3,\"prompt_tokens\":9,"
      "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n"
      "data: [DONE]\n\n";
  for (size_t cut = 1; cut < stream.size(); ++cut) {
    StreamReader reader;
    Seen seen;
    reader.take(stream.substr(0, cut), 1, seen);
    EXPECT_FALSE(reader.done() && cut < stream.size() - 2) << cut;
    reader.take(stream.substr(cut), 2, seen);
    EXPECT_TRUE(reader.done());
    EXPECT_EQ(seen.tokens.size(), 2U) << "what has no text is no token";
    EXPECT_EQ(seen.output_tokens, 3);
    EXPECT_EQ(seen.cached_tokens, 4);
    EXPECT_EQ(seen.failure, "");
  }
}

TEST(Load, AnErrorInAStreamIsAFailure) {
  StreamReader reader;
  Seen seen;
  reader.take("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"error\":{\"message\":\"out of memory\"}}\n\n", 1,
              seen);
  EXPECT_NE(seen.failure.find("out of memory"), std::string::npos);
  EXPECT_FALSE(reader.done());
}

TEST(Load, ASummary) {
  std::vector<Seen> seen(4);
  seen[0] = {0, {1, 1.1, 1.2}, 1.2, 3, 10, 5, ""};    // 1 s, 0.1 s a token
  seen[1] = {1, {1.5, 1.52, 1.54}, 2, 3, 10, 0, ""};  // 0.5 s, 0.02 s a token
  seen[2] = {2, {5}, 5, 1, 10, 0, ""};                // 3 s, one token
  seen[3] = {3, {4}, 4, 0, 0, 0, "429"};
  const Summary summary = summarise(seen, {2.0, 0.05});
  EXPECT_EQ(summary.ended, 3);
  EXPECT_EQ(summary.failed, 1);
  EXPECT_DOUBLE_EQ(summary.seconds, 5);
  EXPECT_DOUBLE_EQ(summary.good, 0.25) << "of all that were sent";
  EXPECT_DOUBLE_EQ(summary.first.p50, 1);
  EXPECT_DOUBLE_EQ(summary.first.most, 3);
  EXPECT_NEAR(summary.between.most, 0.1, 1e-12);
  EXPECT_NEAR(summary.gaps.most, 0.1, 1e-12);
  EXPECT_DOUBLE_EQ(summary.tokens, 7.0 / 5);
  EXPECT_DOUBLE_EQ(summary.cached, 5.0 / 30);
  ASSERT_EQ(summary.failures.size(), 1U);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.99), 4);
  EXPECT_EQ(percentile({}, 0.5), 0);
  EXPECT_EQ(summarise({}, {}).ended, 0);
}

TEST(Load, Addresses) {
  EXPECT_EQ(parse_target("http://127.0.0.1:8000")->prefix, "/v1");
  EXPECT_EQ(parse_target("http://127.0.0.1:8000/v1/")->prefix, "/v1");
  EXPECT_EQ(parse_target("http://localhost")->port, "80");
  EXPECT_EQ(parse_target("http://[::1]:81/x")->host, "[::1]");
  EXPECT_FALSE(parse_target("https://a").ok());
  EXPECT_FALSE(parse_target("http://:80").ok());
}

}  // namespace
}  // namespace vortex::load
