// Which tokens of a row of decode attention each warp takes, and in which order: plain arithmetic, on the host too.
#pragma once

#include <cuda_runtime_api.h>

namespace vortex::cuda::decode_row {

inline constexpr int kTile = 16;  // tokens a warp handles at a time
inline constexpr int kMaxWarps = 8;
inline constexpr int kMaxRanks = 8;  // thread blocks of a row, and pieces below

// `i` of `count` (1, 2, 4 or 8), its bits in reverse order.
__host__ __device__ constexpr int mirrored(int i, int count) { return ((i & 1) * 4 + (i & 2) + i / 4 % 2) * count / 8; }

// May so many thread blocks share a row of so many pieces?
constexpr bool pieces_fit(int pieces, int ranks) {
  const auto allowed = [](int n) { return n == 1 || n == 2 || n == 4 || n == kMaxRanks; };
  return allowed(pieces) && allowed(ranks) && ranks <= pieces;
}

// What warp w of `num_warps` of thread block `rank` of `ranks` takes of a row. Its tiles are dealt to `pieces_of_row` *
// `num_warps` pieces, tile i to piece i modulo that, whatever `ranks` is; both may be 1, 2, 4 or 8, and pieces_fit().
// Every piece has a softmax of its own. Pieces p, p + num_warps, p + 2 num_warps, ... with p = w are put together by
// a binary tree: each of the first half of them with one of the second half, these by the same rule, until one is left.
// That is a tree over the pieces in mirrored order. Piece w + v num_warps belongs to warp w of block v modulo `ranks`,
// so that those of one warp lie side by side in that order: the warp takes them so and has a whole branch of the tree,
// and the blocks of the cluster go on where it ends. The sums are the same for every number of blocks. In the end a row
// has as many sums as a block has warps, which are added up in the order of the warps.
struct WarpShare {
  int tokens = 0;  // of the row
  int tiles = 0;
  int stride = 1;  // from a tile of a piece to its next one
  int pieces = 1;  // this warp's
  int mine = 0;    // tiles of this warp

  __host__ __device__ WarpShare(int tokens_of_row, int pieces_of_row, int ranks, int rank, int num_warps, int of_warp)
      : tokens(tokens_of_row),
        tiles((tokens_of_row + kTile - 1) / kTile),
        stride(pieces_of_row * num_warps),
        pieces(pieces_of_row / ranks),
        pieces_of_row_(pieces_of_row),
        before_(mirrored(rank, pieces_of_row)),
        warps_(num_warps),
        warp_(of_warp),
        each_(tiles / stride),
        longer_(tiles % stride) {
    const int place = rank * num_warps + of_warp;
    const int places = ranks * num_warps;
    mine = tiles > place ? (tiles - place - 1) / places + 1 : 0;
  }

  // Of this warp's piece i < pieces: its first tile, should it have any, and how many it has.
  __host__ __device__ int first(int i) const { return mirrored(before_ + i, pieces_of_row_) * warps_ + warp_; }
  __host__ __device__ int count(int i) const { return each_ + (first(i) < longer_ ? 1 : 0); }

  // This warp's tile `index` < mine, counted piece after piece.
  __host__ __device__ int tile(int index) const {
    int found = 0;
    for (int i = 0; i < pieces; ++i) {
      const int here = count(i);
      if (index >= 0 && index < here) { found = first(i) + index * stride; }
      index -= here;
    }
    return found;
  }

 private:
  int pieces_of_row_;
  int before_;  // pieces of other blocks before this block's in mirrored order
  int warps_;
  int warp_;
  int each_;    // tiles that every piece has
  int longer_;  // pieces that have one more, the first ones
};

}  // namespace vortex::cuda::decode_row
