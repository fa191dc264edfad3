#include "evals/ladder/memory_read.h"

#include <gtest/gtest.h>

namespace vortex::evals {
namespace {

TEST(MemoryRead, GivesSomething) { EXPECT_GT(memory_read_bandwidth(1, 0.0), 1e6); }

}  // namespace
}  // namespace vortex::evals
