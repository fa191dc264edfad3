// The order of a prompt's attention, without a device.
#include "kernels/cuda/prefill_order.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace vortex::cuda {
namespace {

TEST(PrefillOrder, EveryTileOfEveryHeadIsTakenOnce) {
  for (const int heads : {1, 3, 7, 16, 32}) {
    for (const int tiles : {1, 2, 9}) {
      for (int together = 1; together <= heads + 1; ++together) {
        SCOPED_TRACE(::testing::Message() << heads << " heads, " << tiles << " tiles, " << together << " together");
        std::set<std::pair<int, int>> seen;
        for (int i = 0; i < heads * tiles; ++i) {
          const PrefillPlace place = prefill_place(i, heads, tiles, together);
          ASSERT_TRUE(place.head >= 0 && place.head < heads && place.tile >= 0 && place.tile < tiles) << i;
          EXPECT_TRUE(seen.emplace(place.head, place.tile).second) << i;
        }
      }
    }
  }
}

TEST(PrefillOrder, LongRowsStartFirstAndHeadsGoTogether) {
  constexpr int kHeads = 10;
  constexpr int kTiles = 5;
  constexpr int kTogether = 4;  // 4, 4 and 2
  for (int i = 1; i < kHeads * kTiles; ++i) {
    const PrefillPlace before = prefill_place(i - 1, kHeads, kTiles, kTogether);
    const PrefillPlace place = prefill_place(i, kHeads, kTiles, kTogether);
    if (place.head / kTogether == before.head / kTogether) {
      EXPECT_LE(place.tile, before.tile) << i;
    } else {
      EXPECT_EQ(place.head / kTogether, before.head / kTogether + 1) << i;
      EXPECT_EQ(before.tile, 0) << i;
      EXPECT_EQ(place.tile, kTiles - 1) << i;
    }
  }
  // All heads together: tile by tile.
  EXPECT_EQ(prefill_place(kHeads, kHeads, kTiles, kHeads).tile, kTiles - 2);
  EXPECT_EQ(prefill_place(kHeads, kHeads, kTiles, kHeads).head, 0);
}

TEST(PrefillOrder, AsManyHeadsAsTheCacheHolds) {
  constexpr std::int64_t kTokenBytes = std::int64_t{2} * 2 * 128;
  EXPECT_EQ(prefill_heads_together(kTokenBytes * 4096, 8), 8);
  EXPECT_EQ(prefill_heads_together(kTokenBytes * 16384, 8), 4);
  EXPECT_EQ(prefill_heads_together(kTokenBytes * 32768, 8), 2);
  EXPECT_EQ(prefill_heads_together(kTokenBytes * 131072, 8), 1);
  EXPECT_EQ(prefill_heads_together(kTokenBytes, 1), 1);
}

}  // namespace
}  // namespace vortex::cuda
