// The search for the k largest keys of a row by one thread block, shared by the selection kernels and by compiled
// policies. Includes nothing, so that NVRTC can take it as text.
#pragma once

namespace vortex::cuda {

// An order-preserving map of scores: larger score, larger key. 0 is below every score, so it marks "not competing".
__device__ __forceinline__ unsigned score_key(float score) {
  if (score != score) return 0x00010000U;  // NaN: below -inf, whose key is 0x007fffff
  const unsigned bits = score == 0.0F ? 0U : __float_as_uint(score);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// Key j of thread t belongs to position (t / 32 * per_thread + j) * 32 + t % 32.
__device__ __forceinline__ int position_of_key(int per_thread, int j) {
  return (static_cast<int>(threadIdx.x) / 32 * per_thread + j) * 32 + static_cast<int>(threadIdx.x) % 32;
}

// A row's keys, a fixed number a thread in registers.
template <int kPerThread>
struct RegisterKeys {
  static constexpr int kUnroll = kPerThread;  // registers have no addresses
  const unsigned (&keys)[kPerThread];
  __device__ __forceinline__ static constexpr int per_thread() { return kPerThread; }
  __device__ __forceinline__ unsigned operator[](int j) const { return keys[j]; }
};

// A row's `count` keys in memory, spread over kThreads threads.
template <int kThreads>
struct MemoryKeys {
  static constexpr int kUnroll = 4;
  const unsigned* keys;
  int count;
  __device__ __forceinline__ int per_thread() const { return (count + kThreads - 1) / kThreads; }
  __device__ __forceinline__ unsigned operator[](int j) const {
    const int position = position_of_key(per_thread(), j);
    return position < count ? keys[position] : 0U;
  }
};

// Finds the k largest keys, 0 < k <= their number, lower positions first among equal ones, and calls
// emit(rank, position) for each, rank counting them in ascending order of position. kBits: how many leading bits of a
// key carry information. `enough` < 0 is exact; otherwise the search ends after the leading 8 bits if that many keys
// are certain to be among the k largest, and the rest is taken from the keys that share the threshold's leading bits.
// All threads of a block of kThreads call it; they may not touch the keys again before a barrier.
template <int kThreads, int kBits, class Keys, class Emit>
__device__ __forceinline__ void select_largest(const Keys& keys, int k, int enough, Emit emit) {
  constexpr unsigned kAll = 0xffffffffU;
  constexpr int kWarps = kThreads / 32;
  constexpr int kUnroll = Keys::kUnroll;
  __shared__ int warp_counts[2][kWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int per_thread = keys.per_thread();

  // How many keys are >= bound. Buffers alternate, so one barrier per call is enough.
  int buffer = 0;
  const auto count_from = [&](unsigned bound) {
    int count = 0;
#pragma unroll kUnroll
    for (int j = 0; j < per_thread; ++j) count += keys[j] >= bound ? 1 : 0;
    count = __reduce_add_sync(kAll, count);
    if (lane == 0) warp_counts[buffer][warp] = count;
    __syncthreads();
    int total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += warp_counts[buffer][w];
    buffer ^= 1;
    return total;
  };

  // The largest bound that at least k keys reach, bit by bit; keys at it and above it win, the former only up to k.
  unsigned bound = 0;
  unsigned above_bound = 0;  // keys >= above_bound win outright
#pragma unroll 1
  for (int bit = 31; bit >= 32 - kBits; --bit) {
    const unsigned candidate = bound | (1U << bit);
    const int count = count_from(candidate);
    if (count >= k) bound = candidate;
    above_bound = bound + (1U << bit);
    if (count == k) break;
    if (bit == 24 && enough >= 0) {
      const int certain = above_bound != 0 ? count_from(above_bound) : 0;
      if (certain >= enough) break;
    }
  }
  // bound + 2^bit wraps to 0 only when every leading bit is set: then nothing is above.
  const auto wins = [&](unsigned key) { return above_bound != 0 && key >= above_bound; };
  const auto ties = [&](unsigned key) { return key >= bound && !wins(key); };

  int my_wins = 0;
  int my_ties = 0;
#pragma unroll kUnroll
  for (int j = 0; j < per_thread; ++j) {
    my_wins += wins(keys[j]) ? 1 : 0;
    my_ties += ties(keys[j]) ? 1 : 0;
  }
  my_wins = __reduce_add_sync(kAll, my_wins);
  my_ties = __reduce_add_sync(kAll, my_ties);
  __syncthreads();
  if (lane == 0) {
    warp_counts[0][warp] = my_wins;
    warp_counts[1][warp] = my_ties;
  }
  __syncthreads();
  int wins_before = 0;
  int ties_before = 0;
  int total_wins = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    total_wins += warp_counts[0][w];
    if (w < warp) {
      wins_before += warp_counts[0][w];
      ties_before += warp_counts[1][w];
    }
  }
  const int ties_taken = k - total_wins;
  const unsigned lanes_below = (1U << lane) - 1;
#pragma unroll kUnroll
  for (int j = 0; j < per_thread; ++j) {
    const bool win = wins(keys[j]);
    const bool tie = ties(keys[j]);
    const unsigned win_mask = __ballot_sync(kAll, win);
    const unsigned tie_mask = __ballot_sync(kAll, tie);
    const int wins_at = wins_before + __popc(win_mask & lanes_below);
    const int ties_at = ties_before + __popc(tie_mask & lanes_below);
    if (win || (tie && ties_at < ties_taken)) {
      emit(wins_at + min(ties_at, ties_taken), position_of_key(per_thread, j));
    }
    wins_before += __popc(win_mask);
    ties_before += __popc(tie_mask);
  }
}

}  // namespace vortex::cuda
