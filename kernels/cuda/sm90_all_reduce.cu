#include <algorithm>

#include "kernels/cuda/all_reduce.h"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr std::uint32_t kEmpty = 0xffffffffU;  // every 4 bytes of an emptied word
constexpr std::uint32_t kOtherNan = 0x7fffffffU;
constexpr unsigned kPollsBetweenLooks = 256;  // at the clock
constexpr int kWord = 8;                      // bf16 of a word
constexpr int kWordBytes = 16;
constexpr int kMaxBlocks = 132;
constexpr int kMaxNormThreads = 1024;
constexpr int kFactorThreads = 128;
constexpr int kGatherThreads = 512;

// Accesses of the whole system that order nothing.
__device__ __forceinline__ uint4 peek(const uint4* at) {
  uint4 v;
  asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(at)
               : "memory");
  return v;
}

__device__ __forceinline__ void put(uint4* at, const uint4& v) {
  asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(at), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}

__device__ __forceinline__ bool arrived(const uint4& v) {
  return v.x != kEmpty && v.y != kEmpty && v.z != kEmpty && v.w != kEmpty;
}

// What would be taken for an empty place is a NaN, and so is what is sent instead.
__device__ __forceinline__ uint4 sendable(const uint4& v) {
  return make_uint4(v.x == kEmpty ? kOtherNan : v.x, v.y == kEmpty ? kOtherNan : v.y, v.z == kEmpty ? kOtherNan : v.z,
                    v.w == kEmpty ? kOtherNan : v.w);
}

__device__ __forceinline__ std::uint64_t clock_ns() {
  std::uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

// Is it time to stop waiting? Whoever finds so first says why; `since` is 0 at first.
__device__ __noinline__ bool gives_up(std::uint32_t* fault, std::uint64_t limit, std::uint32_t code,
                                      std::uint64_t& since) {
  const std::uint64_t now = clock_ns();
  if (since == 0) { since = now; }
  if (*static_cast<volatile std::uint32_t*>(fault) != 0) { return true; }
  if (now - since <= limit) { return false; }
  atomicCAS(fault, 0U, code);
  return true;
}

__device__ __forceinline__ uint4* half_of(const Peers& p, int rank, int turn) {
  return reinterpret_cast<uint4*>(p.inboxes[rank] + turn * (p.inbox_bytes / 2));
}

__device__ __forceinline__ bool is_other(const Peers& p, int rank) { return rank < p.ranks && rank != p.rank; }

// Before a kernel touches device memory.
__device__ __forceinline__ void begin(const Peers& p) {
  if (!p.shares_device) { allow_successor(); }
  wait_for_predecessors();
}

// Sends a word to place `at` of every other rank's half.
template <int kMax>
__device__ __forceinline__ void send(const Peers& p, int turn, std::int64_t at, const uint4& word) {
#pragma unroll
  for (int to = 0; to < kMax; ++to) {
    if (is_other(p, to)) { put(half_of(p, to, turn) + at, word); }
  }
}

// Waits for one word of every other rank, source s at base + s * stride, and empties their places.
template <int kMax>
__device__ __forceinline__ void take(const Peers& p, int call, uint4* base, std::int64_t stride, uint4 (&got)[kMax]) {
#pragma unroll
  for (int s = 0; s < kMax; ++s) { got[s] = make_uint4(kEmpty, kEmpty, kEmpty, kEmpty); }
  unsigned polls = 0;
  std::uint64_t since = 0;
  for (;;) {
    int missing = -1;
#pragma unroll
    for (int s = 0; s < kMax; ++s) {
      if (is_other(p, s) && !arrived(got[s])) { got[s] = peek(base + s * stride); }
    }
#pragma unroll
    for (int s = 0; s < kMax; ++s) {
      if (is_other(p, s) && !arrived(got[s])) { missing = s; }
    }
    if (missing < 0) { break; }
    if (++polls % kPollsBetweenLooks == 0 && gives_up(p.fault, p.wait_ns, fault_code(call, missing), since)) { break; }
  }
#pragma unroll
  for (int s = 0; s < kMax; ++s) {
    if (is_other(p, s)) { put(base + s * stride, make_uint4(kEmpty, kEmpty, kEmpty, kEmpty)); }
  }
}

// The one word that `from` has sent to `at`.
__device__ __forceinline__ uint4 take_one(const Peers& p, int call, uint4* at, int from) {
  uint4 got = peek(at);
  unsigned polls = 0;
  std::uint64_t since = 0;
  while (!arrived(got)) {
    if (++polls % kPollsBetweenLooks == 0 && gives_up(p.fault, p.wait_ns, fault_code(call, from), since)) { break; }
    got = peek(at);
  }
  put(at, make_uint4(kEmpty, kEmpty, kEmpty, kEmpty));
  return got;
}

template <int kMax>
__device__ __forceinline__ uint4 sum(const Peers& p, const uint4& own, const uint4 (&got)[kMax]) {
  float total[kWord] = {};
#pragma unroll
  for (int s = 0; s < kMax; ++s) {
    if (s >= p.ranks) { break; }
    float x[kWord];
    unpack8(s == p.rank ? own : got[s], x);
#pragma unroll
    for (int i = 0; i < kWord; ++i) { total[i] = s == 0 ? x[i] : total[i] + x[i]; }
  }
  std::uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(total[2 * i], total[2 * i + 1]);
    words[i] = *reinterpret_cast<const std::uint32_t*>(&pair);
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

__device__ __forceinline__ uint4 word_of(const Bf16* x, std::int64_t word) {
  return sendable(reinterpret_cast<const uint4*>(x)[word]);
}
__device__ __forceinline__ uint4* words_of(Bf16* x) { return reinterpret_cast<uint4*>(x); }

// A half holds what every source sends, one source behind the other.
template <int kMax>
__global__ void one_shot_kernel(const AllReduce a) {
  const Peers& p = a.peers;
  const std::int64_t words = a.count / kWord;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  begin(p);
  for (std::int64_t i = first; i < words; i += step) { send<kMax>(p, a.turn, p.rank * words + i, word_of(a.x, i)); }
  uint4* inbox = half_of(p, p.rank, a.turn);
  for (std::int64_t i = first; i < words; i += step) {
    uint4 got[kMax];
    const uint4 own = word_of(a.x, i);
    take<kMax>(p, a.call, inbox + i, words, got);
    words_of(a.out)[i] = sum<kMax>(p, own, got);
  }
}

// Rank r sums words [r * part, (r + 1) * part). A half holds what every source sends to be summed, then the sums of
// every rank.
template <int kMax>
__global__ void two_shot_kernel(const AllReduce a) {
  const Peers& p = a.peers;
  const std::int64_t words = a.count / kWord;
  const std::int64_t part = (words + p.ranks - 1) / p.ranks;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  begin(p);
  for (std::int64_t i = first; i < part; i += step) {
#pragma unroll
    for (int to = 0; to < kMax; ++to) {
      const std::int64_t at = to * part + i;
      if (is_other(p, to) && at < words) { put(half_of(p, to, a.turn) + p.rank * part + i, word_of(a.x, at)); }
    }
  }
  uint4* inbox = half_of(p, p.rank, a.turn);
  uint4* sums = inbox + p.ranks * part;
  for (std::int64_t i = first; i < part; i += step) {
    const std::int64_t at = p.rank * part + i;
    if (at >= words) { break; }
    uint4 got[kMax];
    const uint4 own = word_of(a.x, at);
    take<kMax>(p, a.call, inbox + i, part, got);
    const uint4 total = sum<kMax>(p, own, got);
    send<kMax>(p, a.turn, p.ranks * part + at, sendable(total));
    words_of(a.out)[at] = total;
  }
  for (std::int64_t i = first; i < part; i += step) {
#pragma unroll
    for (int from = 0; from < kMax; ++from) {
      const std::int64_t at = from * part + i;
      if (is_other(p, from) && at < words) { words_of(a.out)[at] = take_one(p, a.call, sums + at, from); }
    }
  }
}

// The sum over the block of every thread's x. All threads take part; `warps` has one float a warp.
__device__ __forceinline__ float block_total(float x, float* warps) {
  x = warp_sum(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) { warps[threadIdx.x / 32] = x; }
  __syncthreads();
  float total = 0.0F;
  for (unsigned w = 0; w < blockDim.x / 32; ++w) { total += warps[w]; }
  return total;
}

// One row by one block, a word a thread: sums, adds to the residual, normalises. Gives the thread's word of the norm.
template <int kMax>
__device__ __forceinline__ uint4 norm_row(const AllReduceNorm& a, std::int64_t word, bool has_word, uint4* inbox,
                                          std::int64_t stride, const uint4& weights, float* warps) {
  float x[kWord] = {};
  float squares = 0.0F;
  if (has_word) {
    float residual[kWord];
    uint4 got[kMax];
    unpack8(words_of(a.residual)[word], residual);
    const uint4 own = word_of(a.x, word);
    take<kMax>(a.peers, a.call, inbox, stride, got);
    unpack8(sum<kMax>(a.peers, own, got), x);
    std::uint32_t packed[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(residual[2 * i] + x[2 * i], residual[2 * i + 1] + x[2 * i + 1]);
      packed[i] = *reinterpret_cast<const std::uint32_t*>(&pair);
    }
    const uint4 added = make_uint4(packed[0], packed[1], packed[2], packed[3]);
    words_of(a.residual)[word] = added;
    unpack8(added, x);
#pragma unroll
    for (float v : x) { squares = fmaf(v, v, squares); }
  }
  const float inverse = rsqrtf(block_total(squares, warps) / static_cast<float>(a.width) + a.epsilon);
  float weight[kWord];
  unpack8(weights, weight);
  std::uint32_t packed[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair =
        __floats2bfloat162_rn(x[2 * i] * (inverse * weight[2 * i]), x[2 * i + 1] * (inverse * weight[2 * i + 1]));
    packed[i] = *reinterpret_cast<const std::uint32_t*>(&pair);
  }
  return make_uint4(packed[0], packed[1], packed[2], packed[3]);
}

// Whoever sends a word need not be who reads it, so that all blocks send, however few the rows are.
template <int kMax>
__global__ void __launch_bounds__(kMaxNormThreads) norm_one_shot_kernel(const AllReduceNorm a) {
  __shared__ float warps[kMaxNormThreads / 32];
  const Peers& p = a.peers;
  const int row_words = a.width / kWord;
  const std::int64_t words = static_cast<std::int64_t>(a.rows) * row_words;
  const bool has_word = static_cast<int>(threadIdx.x) < row_words;
  uint4 weights{};
  if (has_word) { weights = reinterpret_cast<const uint4*>(a.weight)[threadIdx.x]; }  // never written
  begin(p);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < words; i += step) {
    send<kMax>(p, a.turn, p.rank * words + i, word_of(a.x, i));
  }
  uint4* inbox = half_of(p, p.rank, a.turn);
  for (int row = static_cast<int>(blockIdx.x); row < a.rows; row += static_cast<int>(gridDim.x)) {
    const std::int64_t word = static_cast<std::int64_t>(row) * row_words + threadIdx.x;
    const uint4 normed = norm_row<kMax>(a, word, has_word, inbox + word, words, weights, warps);
    if (has_word) { words_of(a.out)[word] = normed; }
  }
}

// Rank r takes rows [r * part, (r + 1) * part), keeps their residual, and sends their norms to all. A half is laid out
// as that of two_shot_kernel.
template <int kMax>
__global__ void __launch_bounds__(kMaxNormThreads) norm_two_shot_kernel(const AllReduceNorm a, int part) {
  __shared__ float warps[kMaxNormThreads / 32];
  const Peers& p = a.peers;
  const int row_words = a.width / kWord;
  const std::int64_t words = static_cast<std::int64_t>(a.rows) * row_words;
  const std::int64_t part_words = static_cast<std::int64_t>(part) * row_words;
  const bool has_word = static_cast<int>(threadIdx.x) < row_words;
  uint4 weights{};
  if (has_word) { weights = reinterpret_cast<const uint4*>(a.weight)[threadIdx.x]; }  // never written
  begin(p);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (std::int64_t i = first; i < part_words; i += step) {
#pragma unroll
    for (int to = 0; to < kMax; ++to) {
      const std::int64_t at = to * part_words + i;
      if (is_other(p, to) && at < words) { put(half_of(p, to, a.turn) + p.rank * part_words + i, word_of(a.x, at)); }
    }
  }
  uint4* inbox = half_of(p, p.rank, a.turn);
  const std::int64_t sums = p.ranks * part_words;
  for (int row = static_cast<int>(blockIdx.x); row < part && p.rank * part + row < a.rows;
       row += static_cast<int>(gridDim.x)) {
    const std::int64_t in_part = static_cast<std::int64_t>(row) * row_words + threadIdx.x;
    const std::int64_t word = p.rank * part_words + in_part;
    const uint4 normed = norm_row<kMax>(a, word, has_word, inbox + in_part, part_words, weights, warps);
    if (has_word) {
      send<kMax>(p, a.turn, sums + word, sendable(normed));
      words_of(a.out)[word] = normed;
    }
  }
  for (std::int64_t i = first; i < part_words; i += step) {
#pragma unroll
    for (int from = 0; from < kMax; ++from) {
      const std::int64_t at = from * part_words + i;
      if (is_other(p, from) && at < words) { words_of(a.out)[at] = take_one(p, a.call, inbox + sums + at, from); }
    }
  }
}

// The word that a rank sends of a token: the squares of its queries and of its keys. All threads get it.
__device__ __forceinline__ uint4 squares_of(const AllReduceFactors& a, int token, float* warps) {
  const int sizes[2] = {a.num_q_heads * a.head_dim, a.num_kv_heads * a.head_dim};
  const Bf16* row = a.qkv + static_cast<std::int64_t>(token) * (sizes[0] + 2 * sizes[1]);
  float squares[2];
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    float own = 0.0F;
    for (int at = static_cast<int>(threadIdx.x) * kWord; at < sizes[part]; at += kFactorThreads * kWord) {
      float x[kWord];
      load8(row + part * sizes[0] + at, x);
#pragma unroll
      for (float v : x) { own = fmaf(v, v, own); }
    }
    squares[part] = block_total(own, warps);
  }
  return sendable(make_uint4(__float_as_uint(squares[0]), __float_as_uint(squares[1]), 0U, 0U));
}

// One token a block at a time.
template <int kMax>
__global__ void __launch_bounds__(kFactorThreads) factors_kernel(const AllReduceFactors a) {
  __shared__ float warps[kFactorThreads / 32];
  const Peers& p = a.peers;
  uint4* inbox = half_of(p, p.rank, a.turn);
  begin(p);
  for (int token = static_cast<int>(blockIdx.x); token < a.num_tokens; token += static_cast<int>(gridDim.x)) {
    const uint4 own = squares_of(a, token, warps);
    if (threadIdx.x != 0) { continue; }
    send<kMax>(p, a.turn, static_cast<std::int64_t>(p.rank) * a.num_tokens + token, own);
    uint4 got[kMax];
    take<kMax>(p, a.call, inbox + token, a.num_tokens, got);
    float total[2] = {};
#pragma unroll
    for (int s = 0; s < kMax; ++s) {
      if (s >= p.ranks) { break; }
      const uint4 word = s == p.rank ? own : got[s];
      total[0] += __uint_as_float(word.x);
      total[1] += __uint_as_float(word.y);
    }
    const float heads[2] = {static_cast<float>(p.ranks * a.num_q_heads), static_cast<float>(p.ranks * a.num_kv_heads)};
    const auto dim = static_cast<float>(a.head_dim);
    a.factors[token] =
        make_float2(rsqrtf(total[0] / (heads[0] * dim) + a.epsilon), rsqrtf(total[1] / (heads[1] * dim) + a.epsilon));
  }
}

template <int kMax>
__global__ void __launch_bounds__(kGatherThreads) gather_kernel(const AllGather a) {
  const Peers& p = a.peers;
  const int row_words = a.columns / 4;
  const std::int64_t words = static_cast<std::int64_t>(a.rows) * row_words;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const auto place = [&](int rank, std::int64_t i) {
    const std::int64_t row = i / row_words;
    const std::int64_t word = i - row * row_words;
    return reinterpret_cast<uint4*>(a.rows_of_floats + row * a.stride + static_cast<std::int64_t>(rank) * a.columns) +
           word;
  };
  begin(p);
  for (std::int64_t i = first; i < words; i += step) {
    send<kMax>(p, a.turn, p.rank * words + i, sendable(*place(p.rank, i)));
  }
  uint4* inbox = half_of(p, p.rank, a.turn);
  for (std::int64_t i = first; i < words; i += step) {
    uint4 got[kMax];
    take<kMax>(p, a.call, inbox + i, words, got);
#pragma unroll
    for (int s = 0; s < kMax; ++s) {
      if (is_other(p, s)) { *place(s, i) = got[s]; }
    }
  }
}

bool valid(const Peers& p, int turn, int call) {
  if (p.ranks < 1 || p.ranks > kMaxRanks || p.rank < 0 || p.rank >= p.ranks || p.fault == nullptr) { return false; }
  return p.inbox_bytes % (2 * kWordBytes) == 0 && (turn == 0 || turn == 1) && call >= 0 && call < 1 << 24;
}

bool fits(const Peers& p, std::int64_t words_of_a_half) { return words_of_a_half * kWordBytes <= p.inbox_bytes / 2; }

// Words of a half that a sum of `words` takes, of which a rank sums `part`.
std::int64_t half_words(const Peers& p, bool two_shot, std::int64_t words, std::int64_t part) {
  return two_shot ? 2 * p.ranks * part : p.ranks * words;
}

dim3 grid_of(const Peers& p, std::int64_t wanted) {
  const int most = p.shares_device ? kMaxBlocks / p.ranks : kMaxBlocks;
  return dim3(static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, most)));
}

// Calls launch.operator()<kMax>() with loops unrolled for at least `ranks` ranks.
template <class Launch>
cudaError_t for_ranks(int ranks, const Launch& launch) {
  if (ranks <= 2) { return launch.template operator()<2>(); }
  if (ranks <= 4) { return launch.template operator()<4>(); }
  return launch.template operator()<8>();
}

// Threads of a block, and blocks, for so many words that are handled side by side.
int threads_for(std::int64_t words) { return words <= 72 * 128 ? 128 : words <= 72 * 256 ? 256 : 512; }

}  // namespace

cudaError_t load_exchanges(int ranks) {
  return for_ranks(ranks, [&]<int kMax>() {
    const void* const kernels[] = {reinterpret_cast<const void*>(&one_shot_kernel<kMax>),
                                   reinterpret_cast<const void*>(&two_shot_kernel<kMax>),
                                   reinterpret_cast<const void*>(&norm_one_shot_kernel<kMax>),
                                   reinterpret_cast<const void*>(&norm_two_shot_kernel<kMax>),
                                   reinterpret_cast<const void*>(&factors_kernel<kMax>),
                                   reinterpret_cast<const void*>(&gather_kernel<kMax>)};
    for (const void* kernel : kernels) {
      cudaFuncAttributes attributes{};
      const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
      if (error != cudaSuccess) { return error; }
    }
    return cudaSuccess;
  });
}

ExchangeSchedule plan_exchange(const Peers& peers, std::int64_t bytes) {
  ExchangeSchedule schedule;
  // Where the lines through the times of both ways cross: 2.9 MB on two cards, 241 KB on four; on eight nothing was
  // measured.
  const std::int64_t from = peers.ranks <= 2 ? 3 << 20 : peers.ranks <= 4 ? 15 << 14 : 1 << 16;
  schedule.two_shot = bytes > from;
  const std::int64_t words = bytes / kWordBytes / (schedule.two_shot ? peers.ranks : 1);
  const int threads = threads_for(words);
  schedule.blocks = static_cast<int>(std::clamp<std::int64_t>((words + threads - 1) / threads, 1, kMaxBlocks));
  return schedule;
}

ExchangeSchedule plan_row_exchange(const Peers& peers, int rows, int width) {
  const std::int64_t bytes = std::int64_t{rows} * width * static_cast<std::int64_t>(sizeof(Bf16));
  ExchangeSchedule schedule = plan_exchange(peers, bytes);
  const int own_rows = schedule.two_shot ? ceil_div(rows, peers.ranks) : rows;
  schedule.blocks = std::clamp(own_rows, schedule.blocks, kMaxBlocks);
  return schedule;
}

std::int64_t inbox_bytes_for(int ranks, std::int64_t bytes) {
  const Peers peers{0, ranks};
  const std::int64_t words = bytes / kWordBytes;
  const std::int64_t part = (words + ranks - 1) / ranks;
  // Rows are whole in a part, so that one more than its share may be in it.
  const std::int64_t rows_of_slack = kMaxNormThreads;
  const std::int64_t two = half_words(peers, true, words, part + rows_of_slack);
  const std::int64_t longest_one_shot =
      peers.ranks <= 2 ? words : std::min<std::int64_t>(words, (4 << 20) / kWordBytes);
  return 2 * kWordBytes * std::max(two, half_words(peers, false, longest_one_shot, 0));
}

RowRange rows_of_rank(int rows, int ranks, int rank) {
  const int part = (rows + ranks - 1) / ranks;
  const int first = std::min(rank * part, rows);
  return {first, std::min(part, rows - first)};
}

cudaError_t all_reduce(const AllReduce& args, const ExchangeSchedule& schedule, cudaStream_t stream) {
  const Peers& p = args.peers;
  if (!valid(p, args.turn, args.call) || !args.x || !args.out || args.count < 0) { return cudaErrorInvalidValue; }
  if (args.count % kWord != 0) { return cudaErrorNotSupported; }
  if (args.count == 0) { return cudaSuccess; }
  const std::int64_t words = args.count / kWord;
  const std::int64_t part = (words + p.ranks - 1) / p.ranks;
  if (!fits(p, half_words(p, schedule.two_shot, words, part))) { return cudaErrorInvalidValue; }
  const int threads = threads_for(schedule.two_shot ? part : words);
  return for_ranks(p.ranks, [&]<int kMax>() {
    return launch_early(schedule.two_shot ? two_shot_kernel<kMax> : one_shot_kernel<kMax>, grid_of(p, schedule.blocks),
                        threads, 0, stream, args);
  });
}

cudaError_t all_reduce_norm(const AllReduceNorm& args, const ExchangeSchedule& schedule, cudaStream_t stream) {
  const Peers& p = args.peers;
  const bool pointers = args.x && args.residual && args.weight && args.out;
  if (!valid(p, args.turn, args.call) || !pointers || args.rows < 0 || args.width <= 0) {
    return cudaErrorInvalidValue;
  }
  if (args.width % kWord != 0 || args.width > kMaxNormThreads * kWord) { return cudaErrorNotSupported; }
  if (args.rows == 0) { return cudaSuccess; }
  const int row_words = args.width / kWord;
  const std::int64_t words = static_cast<std::int64_t>(args.rows) * row_words;
  const int part = (args.rows + p.ranks - 1) / p.ranks;
  if (!fits(p, half_words(p, schedule.two_shot, words, static_cast<std::int64_t>(part) * row_words))) {
    return cudaErrorInvalidValue;
  }
  const int threads = (row_words + 31) / 32 * 32;
  const dim3 grid = grid_of(p, schedule.blocks);
  return for_ranks(p.ranks, [&]<int kMax>() {
    return schedule.two_shot ? launch_early(norm_two_shot_kernel<kMax>, grid, threads, 0, stream, args, part)
                             : launch_early(norm_one_shot_kernel<kMax>, grid, threads, 0, stream, args);
  });
}

cudaError_t all_reduce_factors(const AllReduceFactors& args, cudaStream_t stream) {
  const Peers& p = args.peers;
  const bool sizes = args.num_tokens >= 0 && args.num_q_heads > 0 && args.num_kv_heads > 0 && args.head_dim > 0;
  if (!valid(p, args.turn, args.call) || !args.qkv || !args.factors || !sizes) { return cudaErrorInvalidValue; }
  if (args.head_dim % kWord != 0) { return cudaErrorNotSupported; }
  if (args.num_tokens == 0) { return cudaSuccess; }
  if (!fits(p, static_cast<std::int64_t>(p.ranks) * args.num_tokens)) { return cudaErrorInvalidValue; }
  return for_ranks(p.ranks, [&]<int kMax>() {
    return launch_early(factors_kernel<kMax>, grid_of(p, args.num_tokens), kFactorThreads, 0, stream, args);
  });
}

cudaError_t all_gather(const AllGather& args, cudaStream_t stream) {
  const Peers& p = args.peers;
  const bool sizes = args.rows >= 0 && args.columns > 0 && args.stride >= p.ranks * args.columns;
  if (!valid(p, args.turn, args.call) || !args.rows_of_floats || !sizes) { return cudaErrorInvalidValue; }
  if (args.columns % 4 != 0 || args.stride % 4 != 0) { return cudaErrorNotSupported; }
  if (args.rows == 0) { return cudaSuccess; }
  const std::int64_t words = static_cast<std::int64_t>(args.rows) * (args.columns / 4);
  if (!fits(p, p.ranks * words)) { return cudaErrorInvalidValue; }
  const std::int64_t blocks = (words + kGatherThreads - 1) / kGatherThreads;
  return for_ranks(p.ranks, [&]<int kMax>() {
    return launch_early(gather_kernel<kMax>, grid_of(p, blocks), kGatherThreads, 0, stream, args);
  });
}

std::int64_t inbox_bytes_for_gather(int ranks, std::int64_t rows, int columns) {
  return 2 * kWordBytes * ranks * rows * ((columns + 3) / 4);
}

}  // namespace vortex::cuda
