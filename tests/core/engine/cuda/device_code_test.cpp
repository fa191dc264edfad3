// What needs no device: the source of block top-k's kernels, and the hash of the device code in this program.

#include "core/engine/cuda/device_code.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "core/engine/cuda/block_topk.h"

namespace vortex::engine {
namespace {

TEST(DeviceCode, IsHashedFromThisProgram) {
  EXPECT_EQ(device_code_hash().size(), 64U) << "this program has no .nv_fatbin section";
}

TEST(DeviceCode, TheSourcesOfBlockTopKAreThoseOfTheRepository) {
  ASSERT_FALSE(block_topk_sources().empty());
  for (const auto& [name, text] : block_topk_sources()) {
    const Result<std::string> file = read_file(std::string(VORTEX_SOURCE_DIR) + "/" + name);
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(text, *file) << name;
  }
}

}  // namespace
}  // namespace vortex::engine
