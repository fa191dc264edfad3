#include "kernels/cuda/sampler.h"
#include "kernels/cuda/select.cuh"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxCandidates = 4096;
constexpr int kDigitBits = 11;
constexpr int kBins = 1 << kDigitBits;

// Sums of probabilities are kept as integers, in units of 2^-40 of the largest: their order does not matter then.
constexpr float kMassUnit = 1099511627776.0F;

// The score of a logit from its key (score_key's inverse).
__device__ __forceinline__ float key_score(std::uint32_t key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
}

struct Philox {
  std::uint32_t x[4];
};

__device__ __forceinline__ Philox philox(std::uint64_t seed, std::uint32_t token_group, std::uint32_t position,
                                         std::uint64_t request_id) {
  std::uint32_t c0 = token_group;
  std::uint32_t c1 = position;
  auto c2 = static_cast<std::uint32_t>(request_id);
  auto c3 = static_cast<std::uint32_t>(request_id >> 32);
  auto k0 = static_cast<std::uint32_t>(seed);
  auto k1 = static_cast<std::uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = __umulhi(0xD2511F53U, c0);
    const std::uint32_t high1 = __umulhi(0xCD9E8D57U, c2);
    const std::uint32_t low0 = 0xD2511F53U * c0;
    const std::uint32_t low1 = 0xCD9E8D57U * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {{c0, c1, c2, c3}};
}

// A (score, token) pair packed so that the larger is the better, the lower token winning ties.
__device__ __forceinline__ std::uint64_t pack(std::uint32_t key, int token) {
  return static_cast<std::uint64_t>(key) << 32 | static_cast<std::uint32_t>(~token);
}

struct Shared {
  std::uint64_t reduce[2][kWarps];
  int histogram[kBins];
  std::uint32_t candidate_key[kMaxCandidates];
  int candidate_token[kMaxCandidates];
  int num_candidates;
  std::uint32_t digit;
  int remaining;
};

template <class Logit>
class RowSampler {
 public:
  __device__ __forceinline__ RowSampler(const Sample& a, Shared& shared)
      : a_(a),
        shared_(shared),
        row_(static_cast<int>(blockIdx.x)),
        logits_(static_cast<const Logit*>(a.logits) + static_cast<std::int64_t>(blockIdx.x) * a.stride) {}

  __device__ __forceinline__ void run() {
    std::uint64_t best = 0;
    visit([&](std::uint32_t key, int token) { best = max(best, pack(key, token)); });
    best = reduce<true>(best);
    const float temperature = a_.temperatures[row_];
    if (temperature <= 0.0F) {
      finish(best);
      return;
    }
    scale_ = kLog2e / temperature;
    top_ = key_score(static_cast<std::uint32_t>(best >> 32));

    const int k = a_.top_k != nullptr ? a_.top_k[row_] : 0;
    if (k > 0 && k < a_.vocab) {
      floor_ = kth_key(k);
      gather_candidates();
    }
    const float p = a_.top_p != nullptr ? a_.top_p[row_] : 1.0F;
    if (p < 1.0F) floor_ = nucleus_floor(p);
    finish(race());
  }

 private:
  // Calls f(key, token) for every token whose key is at least floor_, in no particular order.
  template <class F>
  __device__ __forceinline__ void visit(F f) const {
    if (gathered_) {
      for (int i = static_cast<int>(threadIdx.x); i < shared_.num_candidates; i += kThreads) {
        if (shared_.candidate_key[i] >= floor_) f(shared_.candidate_key[i], shared_.candidate_token[i]);
      }
      return;
    }
    visit_quads([&](const std::uint32_t(&keys)[4], int first) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (keys[i] >= floor_ && keys[i] > 0) f(keys[i], first + i);
      }
    });
  }

  // Calls f(keys, first) for every four consecutive tokens of the row; 0 is the key of a token past the vocabulary.
  template <class F>
  __device__ __forceinline__ void visit_quads(F f) const {
#pragma unroll 2
    for (int first = static_cast<int>(threadIdx.x) * 4; first < a_.vocab; first += kThreads * 4) {
      Logit x[4];
      if constexpr (sizeof(Logit) == 2) {
        *reinterpret_cast<uint2*>(x) = *reinterpret_cast<const uint2*>(logits_ + first);
      } else {
        *reinterpret_cast<uint4*>(x) = *reinterpret_cast<const uint4*>(logits_ + first);
      }
      std::uint32_t keys[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) keys[i] = first + i < a_.vocab ? score_key(static_cast<float>(x[i])) : 0U;
      f(keys, first);
    }
  }

  // Block-wide maximum or sum; every thread gets it. The buffers alternate, so that one barrier per call is enough.
  template <bool kMax>
  __device__ __forceinline__ std::uint64_t reduce(std::uint64_t x) {
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const std::uint64_t other = __shfl_xor_sync(kFullWarp, x, offset);
      x = kMax ? max(x, other) : x + other;
    }
    std::uint64_t* buffer = shared_.reduce[buffer_];
    buffer_ ^= 1;
    if (threadIdx.x % 32 == 0) buffer[threadIdx.x / 32] = x;
    __syncthreads();
    x = buffer[threadIdx.x % 32];
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      const std::uint64_t other = __shfl_xor_sync(kFullWarp, x, offset);
      x = kMax ? max(x, other) : x + other;
    }
    return x;
  }

  // The k-th largest key, digit by digit: counts per value of the next digit, from the top until k are covered.
  __device__ __forceinline__ std::uint32_t kth_key(int k) {
    std::uint32_t prefix = 0;
    int remaining = k;
    for (int shift = 32 - kDigitBits; shift > -kDigitBits; shift -= kDigitBits) {
      const int low = max(shift, 0);
      const int bits = shift >= 0 ? kDigitBits : kDigitBits + shift;
      for (int i = static_cast<int>(threadIdx.x); i < kBins; i += kThreads) shared_.histogram[i] = 0;
      __syncthreads();
      const std::uint32_t known = shift == 32 - kDigitBits ? 0U : 0xffffffffU << (low + bits);
      visit([&](std::uint32_t key, int) {
        if ((key & known) == prefix) atomicAdd(&shared_.histogram[(key >> low) & ((1U << bits) - 1)], 1);
      });
      __syncthreads();
      if (threadIdx.x < 32) find_digit(remaining);
      __syncthreads();
      prefix |= shared_.digit << low;
      remaining = shared_.remaining;
    }
    return prefix;
  }

  // One warp: the highest bin at which the count from the top reaches `remaining`, and what is still to find inside it.
  __device__ __forceinline__ void find_digit(int remaining) {
    const int lane = static_cast<int>(threadIdx.x);
    for (int top = kBins - 32; top >= 0; top -= 32) {
      const int count = shared_.histogram[top + 31 - lane];  // lane 0 has the highest bin
      int reached = count;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int lower = __shfl_up_sync(kFullWarp, reached, offset);
        if (lane >= offset) reached += lower;
      }
      const unsigned enough = __ballot_sync(kFullWarp, reached >= remaining);
      if (enough != 0) {
        if (lane == __ffs(static_cast<int>(enough)) - 1) {
          shared_.digit = static_cast<std::uint32_t>(top + 31 - lane);
          shared_.remaining = remaining - (reached - count);
        }
        return;
      }
      remaining -= __shfl_sync(kFullWarp, reached, 31);
    }
  }

  // Copies the tokens at or above floor_ to shared memory where they fit; later visits are then short.
  __device__ __forceinline__ void gather_candidates() {
    if (threadIdx.x == 0) shared_.num_candidates = 0;
    __syncthreads();
    visit([&](std::uint32_t key, int token) {
      const int i = atomicAdd(&shared_.num_candidates, 1);
      if (i < kMaxCandidates) {
        shared_.candidate_key[i] = key;
        shared_.candidate_token[i] = token;
      }
    });
    __syncthreads();
    gathered_ = shared_.num_candidates <= kMaxCandidates;
  }

  __device__ __forceinline__ std::uint64_t mass(std::uint32_t key) const {
    return __float2ull_rn(exp2_approx((key_score(key) - top_) * scale_) * kMassUnit);
  }

  __device__ __forceinline__ std::uint64_t mass_from(std::uint32_t bound) {
    std::uint64_t sum = 0;
    visit([&](std::uint32_t key, int) {
      if (key >= bound) sum += mass(key);
    });
    return reduce<false>(sum);
  }

  // The largest key such that the tokens at or above it hold the share p of the mass.
  __device__ __forceinline__ std::uint32_t nucleus_floor(float p) {
    const std::uint64_t total = mass_from(0);
    const auto dropped = static_cast<std::uint64_t>((1.0 - static_cast<double>(p)) * static_cast<double>(total));
    const std::uint64_t wanted = max(total - dropped, std::uint64_t{1});
    if (!gathered_) {
      // Tokens of less than dropped / vocab each cannot matter: all of them together weigh less than what is dropped.
      const float least = static_cast<float>(dropped) / kMassUnit / static_cast<float>(a_.vocab);
      if (least > 0.0F) floor_ = max(floor_, score_key(top_ + (__log2f(least) - 0.01F) / scale_));
      gather_candidates();
    }
    std::uint32_t bound = 0;
    for (int bit = 31; bit >= 0; --bit) {
      const std::uint32_t candidate = bound | (1U << bit);
      if (mass_from(candidate) >= wanted) bound = candidate;
    }
    return max(bound, floor_);
  }

  // The winner of the exponential race, as a packed pair.
  __device__ __forceinline__ std::uint64_t race() {
    const std::uint64_t seed = a_.seeds[row_];
    const std::uint64_t id = a_.request_ids[row_];
    const auto position = static_cast<std::uint32_t>(a_.positions[row_]);
    std::uint64_t best = 0;
    const auto enter = [&](std::uint32_t key, int token, std::uint32_t random) {
      const float u = (static_cast<float>(random >> 1) + 0.5F) * 4.656612873077393e-10F;  // of 2^31 values
      const float arrival = -log1pf(-fminf(u, 0.99999994F));
      best = max(best, pack(score_key((key_score(key) - top_) * scale_ - log2f(arrival)), token));
    };
    if (gathered_) {
      visit([&](std::uint32_t key, int token) {
        const auto quad = static_cast<std::uint32_t>(token) / 4;
        const Philox random = philox(seed, quad, position, id);
        const std::uint32_t low = token % 2 == 0 ? random.x[0] : random.x[1];
        const std::uint32_t high = token % 2 == 0 ? random.x[2] : random.x[3];
        enter(key, token, token % 4 < 2 ? low : high);
      });
    } else {
      visit_quads([&](const std::uint32_t(&keys)[4], int first) {
        const Philox random = philox(seed, static_cast<std::uint32_t>(first) / 4, position, id);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (keys[i] >= floor_ && keys[i] > 0) enter(keys[i], first + i, random.x[i]);
        }
      });
    }
    return reduce<true>(best);
  }

  __device__ __forceinline__ void finish(std::uint64_t best) const {
    if (threadIdx.x == 0) a_.tokens[row_] = static_cast<std::int32_t>(~static_cast<std::uint32_t>(best));
  }

  const Sample& a_;
  Shared& shared_;
  int row_;
  const Logit* logits_;
  float scale_ = 0.0F;  // log2(e) / temperature
  float top_ = 0.0F;    // the largest logit
  std::uint32_t floor_ = 0;
  bool gathered_ = false;
  int buffer_ = 0;
};

template <class Logit>
__global__ void __launch_bounds__(kThreads) sample_kernel(const Sample a) {
  __shared__ Shared shared;
  RowSampler<Logit>(a, shared).run();
}

}  // namespace

cudaError_t sample(const Sample& args, cudaStream_t stream) {
  const bool pointers =
      args.logits && args.temperatures && args.seeds && args.request_ids && args.positions && args.tokens;
  const bool sizes = args.num_rows >= 0 && args.vocab > 0 && args.stride >= args.vocab && args.stride % 4 == 0;
  if (!pointers || !sizes) return cudaErrorInvalidValue;
  if (args.num_rows == 0) return cudaSuccess;
  const auto rows = static_cast<unsigned>(args.num_rows);
  if (args.type == LogitType::bf16) {
    sample_kernel<Bf16><<<rows, kThreads, 0, stream>>>(args);
  } else {
    sample_kernel<float><<<rows, kThreads, 0, stream>>>(args);
  }
  return cudaGetLastError();
}

}  // namespace vortex::cuda
