// The search for the k largest keys of a row by one thread block, shared by the selection kernels and by compiled
// policies. Includes nothing, so that NVRTC can take it as text.
#pragma once

namespace vortex::cuda {

// An order-preserving map of scores: larger score, larger key. 0 is below every score, so it marks "not competing".
__device__ __forceinline__ unsigned score_key(float score) {
  if (score != score) {
    return 0x00010000U;  // NaN: below -inf, whose key is 0x007fffff
  }
  const unsigned bits = score == 0.0F ? 0U : __float_as_uint(score);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// Keys from `above` on win, those from `bound` on only up to k. above == 0: none is above.
struct Threshold {
  unsigned bound;
  unsigned above;
  __device__ __forceinline__ bool wins(unsigned key) const { return above != 0 && key >= above; }
  __device__ __forceinline__ bool ties(unsigned key) const { return key >= bound && !wins(key); }
};

// How many keys have which leading digit, in shared memory. Scores of one row share few exponents: a digit holds some
// of the mantissa, too, so that the keys spread.
constexpr int kDigitBits = 11;
constexpr int kBins = 1 << kDigitBits;
constexpr int kLaterDigitBits = 8;  // few keys are left, and every bin costs
struct Digits {
  int bins[kBins];
  __device__ __forceinline__ void count_leading(unsigned key) { atomicAdd(bins + (key >> (32 - kDigitBits)), 1); }
};

template <int kThreads>
__device__ __forceinline__ void clear(Digits& digits, int bins) {
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < bins; i += kThreads) { digits.bins[i] = 0; }
}

// The search for the digit of the k-th largest key by one thread block.
template <int kThreads>
class DigitSearch {
 public:
  static constexpr int kWarps = kThreads / 32;
  struct Found {
    int digit;
    int above;  // keys with a larger digit
    int equal;
  };
  struct Shared {
    int warp_sums[kWarps];
    Found found;
  };

  // Of the `bins` (a power of two) first digits, the one with fewer than k keys above it and at least k from it on.
  // Barriers: one before it reads the bins, one before it returns.
  static __device__ __forceinline__ Found find(const Digits& digits, int bins, int k, Shared& shared) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int per_thread = (bins + kThreads - 1) / kThreads;
    const int first = static_cast<int>(threadIdx.x) * per_thread;
    const bool mine = first < bins;
    __syncthreads();
    int sum = 0;
#pragma unroll 4
    for (int i = 0; i < per_thread; ++i) { sum += mine ? digits.bins[first + i] : 0; }
    int from_here = sum;  // of this warp's threads from this one on
#pragma unroll
    for (int width = 1; width < 32; width *= 2) {
      const int more = __shfl_down_sync(kEveryLane, from_here, width);
      from_here += lane + width < 32 ? more : 0;
    }
    if (lane == 0) { shared.warp_sums[warp] = from_here; }
    __syncthreads();
    const int of_lane = lane > warp && lane < kWarps ? shared.warp_sums[lane] : 0;
    int above = __reduce_add_sync(kEveryLane, of_lane) + from_here - sum;
    if (above < k && above + sum >= k) {
      int digit = first + per_thread - 1;
      for (; above + digits.bins[digit] < k; --digit) { above += digits.bins[digit]; }
      shared.found = {digit, above, digits.bins[digit]};
    }
    __syncthreads();
    return shared.found;
  }

 private:
  static constexpr unsigned kEveryLane = 0xffffffffU;
};

// The threshold of the k largest of `count` keys, digit by digit. `counted`: the digits hold the leading ones already.
template <int kThreads, int kBits>
__device__ __forceinline__ Threshold find_threshold(const unsigned* keys, int count, Digits& digits, bool counted,
                                                    int k, int enough) {
  __shared__ typename DigitSearch<kThreads>::Shared shared;
  unsigned prefix = 0;
  int above = 0;  // keys that win outright
  int shift = 32;
  int width = enough >= 0 ? 8 : kDigitBits;
  for (;;) {
    const int known = shift;
    shift -= width;
    if (!counted) {
      clear<kThreads>(digits, 1 << width);
      __syncthreads();
#pragma unroll 4
      for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
        const unsigned key = keys[i];
        if (known == 32 || key >> known == prefix) { atomicAdd(digits.bins + (key >> shift & ((1U << width) - 1)), 1); }
      }
    }
    counted = false;
    const auto found = DigitSearch<kThreads>::find(digits, 1 << width, k - above, shared);
    prefix = prefix << width | static_cast<unsigned>(found.digit);
    above += found.above;
    const bool all_known = shift <= 32 - kBits || above + found.equal == k;
    const bool certain = enough >= 0 && known == 32 && above >= enough;
    if (all_known || certain) { break; }
    width = min(kLaterDigitBits, shift - (32 - kBits));
  }
  return {prefix << shift, (prefix + 1) << shift};
}

// Finds the k largest of `count` keys in shared memory, 0 < k <= count, lower positions first among equal ones, and
// calls emit(rank, position) for each, rank counting them in ascending order of position. kBits: how many leading bits
// of a key carry information. `enough` < 0 is exact; otherwise the search ends after the leading 8 bits if that many
// keys are certain to be among the k largest, and the rest is taken from the keys that share the threshold's leading
// bits. `counted` (exact only): `digits` holds the leading digits of all keys.
// All threads of a block of kThreads call it, without a barrier after writing keys and digits; they may not touch them
// again before one.
template <int kThreads, int kBits, class Emit>
__device__ __forceinline__ void select_largest(const unsigned* keys, int count, Digits& digits, bool counted, int k,
                                               int enough, Emit emit) {
  constexpr unsigned kAll = 0xffffffffU;
  constexpr int kWarps = kThreads / 32;
  constexpr unsigned kTie = 1U << 16;  // of a sum of wins and ties
  __shared__ unsigned sums[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (!counted) { __syncthreads(); }
  const Threshold threshold = find_threshold<kThreads, kBits>(keys, count, digits, counted, k, enough);

  // Every warp emits from a run of positions; what those before it hold gives its first rank.
  const int per_lane = (count + kThreads - 1) / kThreads;
  const int first = warp * per_lane * 32 + lane;
  const auto key_at = [&](int j) { return first + j * 32 < count ? keys[first + j * 32] : 0U; };
  unsigned mine = 0;
#pragma unroll 4
  for (int j = 0; j < per_lane; ++j) {
    const unsigned key = key_at(j);
    mine += (threshold.wins(key) ? 1U : 0U) + (threshold.ties(key) ? kTie : 0U);
  }
  mine = __reduce_add_sync(kAll, mine);
  if (lane == 0) { sums[warp] = mine; }
  __syncthreads();
  const unsigned of_lane = lane < kWarps ? sums[lane] : 0U;
  const unsigned before = __reduce_add_sync(kAll, lane < warp ? of_lane : 0U);
  const int ties_taken = k - static_cast<int>(__reduce_add_sync(kAll, of_lane) % kTie);
  int wins_before = static_cast<int>(before % kTie);
  int ties_before = static_cast<int>(before / kTie);
  const unsigned lanes_below = (1U << lane) - 1;
#pragma unroll 4
  for (int j = 0; j < per_lane; ++j) {
    const unsigned key = key_at(j);
    const bool win = threshold.wins(key);
    const bool tie = threshold.ties(key);
    const unsigned win_mask = __ballot_sync(kAll, win);
    const unsigned tie_mask = __ballot_sync(kAll, tie);
    const int wins_at = wins_before + __popc(win_mask & lanes_below);
    const int ties_at = ties_before + __popc(tie_mask & lanes_below);
    if (win || (tie && ties_at < ties_taken)) { emit(wins_at + min(ties_at, ties_taken), first + j * 32); }
    wins_before += __popc(win_mask);
    ties_before += __popc(tie_mask);
  }
}

}  // namespace vortex::cuda
