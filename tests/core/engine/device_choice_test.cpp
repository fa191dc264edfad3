#include "core/engine/device_choice.h"

#include <gtest/gtest.h>

namespace vortex::engine {
namespace {

const Status kNoDevice = environment_error("no CUDA device");
const Status kNotCovered = candidate_error("blocks of 8 tokens");

TEST(ChooseDevice, TheCpuNeedsNothing) {
  EXPECT_FALSE(choose_device("cpu", kNoDevice, kNotCovered)->cuda);
  EXPECT_FALSE(choose_device("cpu", ok_status(), ok_status())->cuda);
}

TEST(ChooseDevice, CudaByNameIsRefusedWithTheReason) {
  EXPECT_EQ(choose_device("cuda", kNoDevice, ok_status()).error().blame, Blame::kEnvironment);
  const Result<DeviceChoice> refused = choose_device("cuda", ok_status(), kNotCovered);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().blame, Blame::kCandidate);
  EXPECT_EQ(refused.error().message, "blocks of 8 tokens");
  EXPECT_TRUE(choose_device("cuda", ok_status(), ok_status())->cuda);
}

TEST(ChooseDevice, AutoFallsBackAndSaysWhy) {
  EXPECT_TRUE(choose_device("auto", ok_status(), ok_status())->cuda);
  EXPECT_FALSE(choose_device("auto", kNoDevice, ok_status())->cuda);
  EXPECT_EQ(choose_device("auto", kNoDevice, ok_status())->why_not, "");
  const Result<DeviceChoice> fallen = choose_device("auto", ok_status(), kNotCovered);
  ASSERT_TRUE(fallen.ok());
  EXPECT_FALSE(fallen->cuda);
  EXPECT_EQ(fallen->why_not, "blocks of 8 tokens");
}

}  // namespace
}  // namespace vortex::engine
