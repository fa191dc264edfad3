#include "base/secret.h"

#include <gtest/gtest.h>

namespace vortex {
namespace {

TEST(Secret, AreRandomAndComparedWhole) {
  const std::string token = random_hex(16);
  EXPECT_EQ(token.size(), 32u);
  EXPECT_NE(token, random_hex(16));
  EXPECT_TRUE(same_secret(token, token));
  EXPECT_FALSE(same_secret(token, token + "0"));
  EXPECT_FALSE(same_secret("", ""));
}

}  // namespace
}  // namespace vortex
