#include "kernels/cuda/attention_spread.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vortex::cuda {
namespace {

// Every tile is one thread block's, thread blocks that share a row are those that have tiles of it, and no thread block
// has more than an equal share.
TEST(SpreadShare, CoversEveryTileOnceWhateverTheNumbers) {
  for (const int tiles : {0, 1, 7, 8, 132, 133, 1000, 4096, 65536, 262145}) {
    for (const int blocks : {1, 3, 64, 132, 256}) {
      for (const int least : {1, 4, 8}) {
        SCOPED_TRACE(testing::Message() << tiles << " tiles, " << blocks << " blocks, at least " << least);
        const int chunk = spread_chunk(tiles, blocks, least);
        EXPECT_EQ(chunk, std::max(least, (tiles + blocks - 1) / blocks));
        int next = 0;
        for (int block = 0; block < blocks; ++block) {
          const SpreadShare share = spread_share(block, tiles, chunk);
          ASSERT_EQ(share.begin, next);
          ASSERT_LE(share.end - share.begin, chunk);
          next = share.end;
          if (share.begin == share.end) { continue; }
          ASSERT_EQ(spread_parts(share.begin, share.end, chunk).first, block);
          ASSERT_EQ(spread_parts(share.begin, share.end, chunk).count, 1);
        }
        EXPECT_EQ(next, tiles);
      }
    }
  }
}

TEST(SpreadShare, ThreadBlocksOfARowAreThoseThatHaveTilesOfIt) {
  for (const int length : {1, 5, 31, 32, 100}) {
    for (const int chunk : {1, 8, 31, 64}) {
      for (int begin = 0; begin < 200; ++begin) {
        const SpreadParts parts = spread_parts(begin, begin + length, chunk);
        int having = 0;
        for (int block = 0; block < 400; ++block) {
          const SpreadShare share = spread_share(block, 1000, chunk);
          const bool has = share.begin < begin + length && share.end > begin;
          ASSERT_EQ(has, block >= parts.first && block < parts.first + parts.count);
          having += has ? 1 : 0;
        }
        ASSERT_EQ(having, parts.count);
      }
    }
  }
}

}  // namespace
}  // namespace vortex::cuda
