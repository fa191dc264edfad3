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

}  // namespace
}  // namespace vortex
