// Tuned products on disk; needs no device.
#include "core/engine/cuda/gemm_cache.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/core/model/checkpoint.h"

namespace vortex::engine {
namespace {

const GemmShape kShape{2048, 1024, 64, 2048, false, false};

TunedProduct product() {
  TunedProduct tuned;
  tuned.skinny = true;
  tuned.groups = 2;
  tuned.split = 4;
  tuned.algorithm = {1, 2, 3, UINT64_MAX, 5, 6, 7, 8};
  tuned.seconds = 1.25e-5;
  tuned.cublas_seconds = 1.0 / 3;
  tuned.timed = 17;
  tuned.differing = 3;
  return tuned;
}

std::filesystem::path only_file(const std::filesystem::path& folder) {
  std::filesystem::path found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) { found = entry.path(); }
  return found;
}

TEST(GemmCache, GivesBackWhatItKept) {
  const testing::TempFolder folder;
  GemmCache(folder.path(), "a device").keep(kShape, product());
  EXPECT_EQ(GemmCache(folder.path(), "a device").find(kShape), product());
}

TEST(GemmCache, KnowsOnlyTheVeryShapeAndContext) {
  const testing::TempFolder folder;
  const GemmCache cache(folder.path(), "a device");
  cache.keep(kShape, product());
  EXPECT_FALSE(GemmCache(folder.path(), "another device").find(kShape));
  for (int field = 0; field < 6; ++field) {
    GemmShape other = kShape;
    if (field == 0) { other.n += 64; }
    if (field == 1) { other.k += 64; }
    if (field == 2) { other.rows = 32; }
    if (field == 3) { other.stride += 8; }
    if (field == 4) { other.fp32 = true; }
    if (field == 5) { other.swiglu = true; }
    EXPECT_FALSE(cache.find(other)) << field;
  }
}

TEST(GemmCache, KeepsNothingWithoutAFolder) {
  GemmCache().keep(kShape, product());
  EXPECT_FALSE(GemmCache().find(kShape));
}

TEST(GemmCache, DamagedFilesAreNotTaken) {
  const testing::TempFolder folder;
  const GemmCache cache(folder.path(), "a device");
  cache.keep(kShape, product());
  const std::filesystem::path path = only_file(folder.path());
  const std::string good = *read_file(path);
  const size_t body = good.find("\"product\"");
  ASSERT_NE(body, std::string::npos);
  for (size_t length = 0; length < good.size(); ++length) {
    ASSERT_TRUE(write_file_atomic(path, good.substr(0, length)).ok());
    EXPECT_FALSE(cache.find(kShape)) << "cut to " << length;
  }
  for (size_t at = body; at < good.size(); ++at) {
    if (good[at] < '0' || good[at] > '9') { continue; }
    std::string bad = good;
    bad[at] = bad[at] == '9' ? '1' : static_cast<char>(bad[at] + 1);
    ASSERT_TRUE(write_file_atomic(path, bad).ok());
    const auto found = cache.find(kShape);
    EXPECT_FALSE(found.has_value() && *found != product()) << bad;
  }
  ASSERT_TRUE(write_file_atomic(path, good).ok());
  EXPECT_EQ(cache.find(kShape), product());
}

TEST(GemmCache, AnotherShapesFileUnderThisNameIsNotTaken) {
  const testing::TempFolder folder;
  const GemmCache cache(folder.path(), "a device");
  cache.keep(kShape, product());
  const std::filesystem::path mine = only_file(folder.path());
  const testing::TempFolder elsewhere;
  GemmShape other = kShape;
  other.rows = 8;
  GemmCache(elsewhere.path(), "a device").keep(other, TunedProduct());
  std::filesystem::copy_file(only_file(elsewhere.path()), mine, std::filesystem::copy_options::overwrite_existing);
  EXPECT_FALSE(cache.find(kShape));
}

}  // namespace
}  // namespace vortex::engine
