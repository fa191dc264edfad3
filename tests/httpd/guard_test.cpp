#include "httpd/guard.h"

#include <gtest/gtest.h>

namespace vortex::httpd {
namespace {

TEST(Guard, OnlyOurOwnHostIsAnswered) {
  EXPECT_TRUE(is_our_host("127.0.0.1:7077", "127.0.0.1", 7077));
  EXPECT_TRUE(is_our_host("LocalHost:7077", "127.0.0.1", 7077));
  EXPECT_TRUE(is_our_host("[::1]:7077", "::1", 7077));
  EXPECT_FALSE(is_our_host("evil.example:7077", "127.0.0.1", 7077)) << "a name that resolves to this machine";
  EXPECT_FALSE(is_our_host("127.0.0.1:80", "127.0.0.1", 7077));
  EXPECT_FALSE(is_our_host("", "127.0.0.1", 7077));
  EXPECT_FALSE(is_our_host("127.0.0.1:7077.evil.example", "127.0.0.1", 7077));
}

TEST(Guard, OnlyOurOwnPageMayWrite) {
  EXPECT_TRUE(is_our_origin("http://127.0.0.1:7077", "127.0.0.1", 7077));
  EXPECT_FALSE(is_our_origin("https://127.0.0.1:7077", "127.0.0.1", 7077));
  EXPECT_FALSE(is_our_origin("http://127.0.0.1:7078", "127.0.0.1", 7077));
  EXPECT_FALSE(is_our_origin("null", "127.0.0.1", 7077));
}

TEST(Guard, TokensAreFound) {
  EXPECT_EQ(token_of("Bearer abc", ""), "abc");
  EXPECT_EQ(token_of("", "a=b; vortex_token=abc; c=d"), "abc");
  EXPECT_EQ(token_of("", "not_vortex_token=abc"), "");
  EXPECT_EQ(token_of("Basic abc", "x"), "");
}

TEST(Guard, TargetsAreReadOrRefused) {
  Target target;
  ASSERT_TRUE(parse_target("/api/runs/brisk%20otter/candidates?q=a%26b+c&limit=5&flag", target));
  EXPECT_EQ(target.segments, (std::vector<std::string>{"api", "runs", "brisk otter", "candidates"}));
  EXPECT_EQ(target.query.at("q"), "a&b c");
  EXPECT_EQ(target.query.at("flag"), "");
  for (const char* bad : {"", "api", "/../etc/passwd", "/api/%2e%2e/x", "/a%0d%0ab", "/%zz", "/%2", "/a?b=%0a"}) {
    Target refused;
    EXPECT_FALSE(parse_target(bad, refused)) << bad;
  }
}

}  // namespace
}  // namespace vortex::httpd
