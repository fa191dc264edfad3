#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace vortex {
namespace {

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonTest, CountsBracketsOutsideStrings) {
  EXPECT_EQ(json_depth(""), 0);
  EXPECT_EQ(json_depth("{\"a\": [1, {}]}"), 3);
  EXPECT_EQ(json_depth("[\"[[[\\\"[[\", 1]"), 1);
  EXPECT_EQ(json_depth("]]]["), 1);
}

TEST(JsonTest, WhatIsNestedTooDeeplyIsDiscarded) {
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth)).is_array());
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth + 1)).is_discarded());
  EXPECT_TRUE(parse_json(nested(1'000'000)).is_discarded());
  EXPECT_TRUE(parse_json("[1").is_discarded());
  EXPECT_EQ(parse_json("{\"a\": \"[[[\"}")["a"], "[[[");
}

// The library takes a zero byte for the end of the text.
TEST(JsonTest, TextBehindAZeroByteIsNotLeftOut) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(parse_json("{\"a\": 1}\0, and more"sv).is_discarded());
  EXPECT_TRUE(parse_json("{\"a\": 1}\0"sv).is_discarded());
  EXPECT_EQ(parse_json(R"({"a": "\u0000"})")["a"], "\0"sv);
}

TEST(JsonTest, ReadsWhatPythonWritesForNumbersThatJsonLacks) {
  const nlohmann::json read =
      parse_json(R"({"a": [0.0, Infinity, -Infinity], "b": NaN, "c": "NaN, \"Infinity", "d": 1})");
  ASSERT_TRUE(read.is_object());
  EXPECT_EQ(read["a"], nlohmann::json::array({0.0, "Infinity", "-Infinity"}));
  EXPECT_TRUE(read["b"].is_null());
  EXPECT_EQ(read["c"], "NaN, \"Infinity");
  EXPECT_EQ(read["d"], 1);
  for (const char* text :
       {"{\"a\": NaNs}", "{\"a\": --Infinity}", "{\"a\": 1NaN}", "{NaN: 1}", "[Infinity Infinity]", "{\"a\": \"NaN"}) {
    EXPECT_TRUE(parse_json(text).is_discarded()) << text;
  }
}

TEST(JsonTest, AByteOrderMarkIsSkipped) {
  EXPECT_EQ(parse_json("\xef\xbb\xbf{\"a\": 1}\r\n")["a"], 1);
  EXPECT_EQ(parse_json("\xef\xbb\xbf{\"a\": NaN}")["a"], nullptr);
}

}  // namespace
}  // namespace vortex
