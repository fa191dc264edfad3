// How a row's tokens are dealt to warps, and in which order its pieces are put together. Needs no device.
#include "kernels/cuda/row_pieces.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vortex::cuda::decode_row {
namespace {

struct Spread {
  int pieces;
  int ranks;
  int warps;
};

std::vector<Spread> spreads() {
  std::vector<Spread> all;
  for (const int pieces : {1, 2, 4, 8}) {
    for (const int ranks : {1, 2, 4, 8}) {
      for (const int warps : {1, 3, 8}) {
        if (pieces_fit(pieces, ranks)) { all.push_back({pieces, ranks, warps}); }
      }
    }
  }
  return all;
}

WarpShare share_of(const Spread& s, int tokens, int rank, int warp) {
  return WarpShare(tokens, s.pieces, s.ranks, rank, s.warps, warp);
}

std::string put_together(const std::string& first, const std::string& second) {
  return "(" + first + " " + second + ")";
}

// The branch of a warp's pieces, as PieceTree has it.
std::string branch(const WarpShare& share) {
  std::vector<std::string> pending(4);
  std::string total;
  for (int i = 0; i < share.pieces; ++i) {
    total = std::to_string(share.first(i));
    for (size_t level = 0; level < pending.size(); ++level) {
      if ((i >> level & 1) == 0) {
        pending[level] = total;
        break;
      }
      total = put_together(pending[level], total);
    }
  }
  return total;
}

// The order in which the pieces of one warp's number are put together, in a warp and then over blocks as merge_ranks()
// does it.
std::string order(const Spread& s, int warp) {
  std::vector<std::string> sums;
  for (int rank = 0; rank < s.ranks; ++rank) { sums.push_back(branch(share_of(s, 12345, rank, warp))); }
  for (size_t half = sums.size() / 2; half > 0; half /= 2) {
    for (size_t r = 0; r < half; ++r) { sums[r] = put_together(sums[r], sums[r + half]); }
  }
  return sums.front();
}

TEST(RowPieces, AreMirrored) {
  for (const int count : {1, 2, 4, 8}) {
    for (int i = 0; i < count; ++i) {
      EXPECT_LT(mirrored(i, count), count);
      EXPECT_EQ(mirrored(mirrored(i, count), count), i);
    }
  }
  EXPECT_EQ(mirrored(1, 8), 4);
  EXPECT_EQ(mirrored(3, 8), 6);
  EXPECT_EQ(mirrored(1, 4), 2);
}

TEST(RowPieces, EveryTileIsOneWarps) {
  for (const Spread& s : spreads()) {
    for (const int tokens : {0, 1, 16, 17, 130, 1039, 1072, 16384, 16399}) {
      SCOPED_TRACE(testing::Message() << tokens << " tokens, " << s.pieces << " pieces, " << s.ranks << " blocks of "
                                      << s.warps);
      std::vector<int> taken(static_cast<size_t>((tokens + kTile - 1) / kTile), 0);
      for (int rank = 0; rank < s.ranks; ++rank) {
        for (int warp = 0; warp < s.warps; ++warp) {
          const WarpShare share = share_of(s, tokens, rank, warp);
          EXPECT_EQ(share.tiles, static_cast<int>(taken.size()));
          int index = 0;
          for (int i = 0; i < share.pieces; ++i) {
            for (int t = 0; t < share.count(i); ++t, ++index) {
              const int tile = share.first(i) + t * share.stride;
              EXPECT_EQ(share.tile(index), tile);
              ASSERT_LT(tile, share.tiles);
              ++taken[static_cast<size_t>(tile)];
              EXPECT_EQ(tile % (s.ranks * s.warps), rank * s.warps + warp) << "warps are busy alike";
            }
          }
          EXPECT_EQ(index, share.mine);
        }
      }
      for (const int times : taken) { EXPECT_EQ(times, 1); }
    }
  }
}

TEST(RowPieces, ArePutTogetherInOneOrderHoweverManyBlocksHaveThem) {
  for (const Spread& s : spreads()) {
    for (int warp = 0; warp < s.warps; ++warp) {
      EXPECT_EQ(order(s, warp), order({s.pieces, 1, s.warps}, warp))
          << s.pieces << " pieces, " << s.ranks << " blocks of " << s.warps;
    }
  }
  EXPECT_EQ(order({8, 2, 1}, 0), "(((0 4) (2 6)) ((1 5) (3 7)))");
}

TEST(RowPieces, NoMoreBlocksThanPieces) {
  EXPECT_TRUE(pieces_fit(8, 8));
  EXPECT_TRUE(pieces_fit(1, 1));
  EXPECT_FALSE(pieces_fit(4, 8));
  EXPECT_FALSE(pieces_fit(3, 1));
  EXPECT_FALSE(pieces_fit(16, 8));
  EXPECT_FALSE(pieces_fit(8, 0));
}

}  // namespace
}  // namespace vortex::cuda::decode_row
