#include "base/gpu.h"

#include <gtest/gtest.h>

namespace vortex {
namespace {

std::vector<Gpu> look() {
  Result<std::vector<Gpu>> gpus = look_at_gpus(VORTEX_FAKE_NVML);
  EXPECT_TRUE(gpus.ok()) << gpus.error().message;
  return gpus.ok() ? *gpus : std::vector<Gpu>(2);
}

TEST(Gpu, TellsWhatTheLibraryTells) {
  const std::vector<Gpu> gpus = look();
  ASSERT_EQ(gpus.size(), 2U);
  EXPECT_EQ(gpus[0].name, "Card 0");
  EXPECT_EQ(gpus[1].bus_id, "0000:1b:01.0");
  EXPECT_EQ(gpus[0].capability, 90);
  EXPECT_EQ(gpus[0].memory_used, int64_t{20} << 30);
  EXPECT_EQ(gpus[1].memory_bytes, 0) << "what is not supported stays empty";
  EXPECT_EQ(gpus[0].watts, 320.5);
  EXPECT_EQ(gpus[0].watts_most, 0) << "nor what the library lacks";
  EXPECT_EQ(describe(gpus[0]),
            "Card 0, 80 GiB (20 in use), driver 580.1, compute capability 9.0, 345 of 1980 MHz, 77 C, held down by "
            "power cap, heat (driver)");
}

TEST(Gpu, HeatThrottlesAndIdlingDoesNot) {
  const std::vector<Gpu> gpus = look();
  EXPECT_TRUE(gpus[0].throttled);
  EXPECT_FALSE(gpus[1].throttled);
  EXPECT_TRUE(gpus[1].limits.empty());
}

// A stranger, a worker of ours, and one without a name.
TEST(Gpu, CountsStrangersAlone) {
  const Gpu gpu = look()[0];
  EXPECT_EQ(other_processes(gpu, 300), 1) << "the nameless one is this process";
  EXPECT_EQ(other_processes(gpu, 7), 1) << "it may be";
  EXPECT_EQ(other_processes(gpu, 200), 2) << "it cannot be";
  EXPECT_EQ(other_processes(gpu, 100), 1);
}

TEST(Gpu, DoubtsAreSentences) {
  const std::vector<Gpu> gpus = look();
  const std::vector<std::string> found = doubts(gpus[0], 300);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_NE(found[0].find("throttled: power cap, heat (driver); 345 of 1980 MHz"), std::string::npos) << found[0];
  EXPECT_NE(found[1].find("1 other process computes"), std::string::npos) << found[1];
  EXPECT_TRUE(doubts(gpus[1], 300).empty());
  const nlohmann::json json = to_json(gpus[0], 300);
  EXPECT_EQ(json.at("others"), 1);
  EXPECT_EQ(json.at("throttled"), true);
}

TEST(Gpu, AMachineWithoutADriverSaysSo) {
  const auto none = look_at_gpus("libno-such-library.so");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().blame, Blame::kEnvironment);
  EXPECT_NE(none.error().message.find("no NVIDIA driver"), std::string::npos);
}

}  // namespace
}  // namespace vortex
