#include "kernels/cuda/sampler.h"
#include "kernels/cuda/select.cuh"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / 32;
constexpr int kMaxCandidates = 16384;

// Sums of probabilities are kept as integers, in units of 2^-40 of the largest: their order does not matter then.
constexpr float kMassUnit = 1099511627776.0F;

// Random integers are turned into uniform numbers of this step; the smallest is half of it.
constexpr float kUniformStep = 4.656612873077393e-10F;  // 2^-31

// The logit of a key (score_key's inverse; keys below -inf's give -inf).
__device__ __forceinline__ float key_logit(std::uint32_t key) {
  const float x = __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7fffffffU : ~key);
  return fmaxf(x, negative_infinity());
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

// In (0, 1); near 0, where the race is decided, as fine as the integers.
__device__ __forceinline__ float random_uniform(std::uint32_t random) {
  return fminf((static_cast<float>(random >> 1) + 0.5F) * kUniformStep, 0.99999994F);
}

// A (score, token) pair packed so that the larger is the better, the lower token winning ties.
__device__ __forceinline__ std::uint64_t pack(float score, int token) {
  return static_cast<std::uint64_t>(score_key(score)) << 32 | static_cast<std::uint32_t>(~token);
}
__device__ __forceinline__ int packed_token(std::uint64_t pair) {
  return static_cast<int>(~static_cast<std::uint32_t>(pair));
}

struct Shared {
  std::uint64_t reduce[2][kWarps];
  float candidate_logit[kMaxCandidates];
  int candidate_token[kMaxCandidates];
  int num_candidates;
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
    find_top();
    const float temperature = a_.temperatures[row_];
    if (temperature > 0.0F) {
      scale_ = kLog2e / temperature;
      const int k = a_.top_k != nullptr ? a_.top_k[row_] : 0;
      if (k > 0 && k < a_.vocab) { floor_ = top_k_floor(k); }
      const float p = a_.top_p != nullptr ? a_.top_p[row_] : 1.0F;
      if (p < 1.0F) { floor_ = nucleus_floor(p); }
      race();
    }
    if (threadIdx.x == 0) { a_.tokens[row_] = top_token_; }
  }

 private:
  static constexpr int kVector = 16 / sizeof(Logit);
  static constexpr int kKeyBits = 8 * sizeof(Logit);  // leading bits of a key that tell logits apart

  // Calls f(logits, first) for every 16 bytes of the row; past the vocabulary the logits are NaN.
  template <class F>
  __device__ __forceinline__ void visit_vectors(F f) const {
    constexpr int kInFlight = 4;
    for (int base = static_cast<int>(threadIdx.x) * kVector; base < a_.vocab; base += kThreads * kVector * kInFlight) {
      uint4 raw[kInFlight];
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        const int first = base + i * kThreads * kVector;
        if (first < a_.vocab) { raw[i] = *reinterpret_cast<const uint4*>(logits_ + first); }
      }
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        const int first = base + i * kThreads * kVector;
        if (first >= a_.vocab) { break; }
        float x[kVector];
        unpack(raw[i], x);
        if (first + kVector > a_.vocab) {
#pragma unroll
          for (int j = 0; j < kVector; ++j) { x[j] = first + j < a_.vocab ? x[j] : nanf(""); }
        }
        f(x, first);
      }
    }
  }

  static __device__ __forceinline__ void unpack(const uint4& raw, float (&x)[8]) { unpack8(raw, x); }
  static __device__ __forceinline__ void unpack(const uint4& raw, float (&x)[4]) {
    x[0] = __uint_as_float(raw.x);
    x[1] = __uint_as_float(raw.y);
    x[2] = __uint_as_float(raw.z);
    x[3] = __uint_as_float(raw.w);
  }

  // Calls f(logit, token) for every token whose logit is at least floor_, in no particular order; never for NaN.
  template <class F>
  __device__ __forceinline__ void visit(F f) const {
    if (gathered_) {
      for (int i = static_cast<int>(threadIdx.x); i < shared_.num_candidates; i += kThreads) {
        if (shared_.candidate_logit[i] >= floor_) { f(shared_.candidate_logit[i], shared_.candidate_token[i]); }
      }
      return;
    }
    visit_vectors([&](const float(&x)[kVector], int first) {
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        if (x[j] >= floor_) f(x[j], first + j);
      }
    });
  }

  // Block-wide maximum or sum; every thread gets it. The buffers alternate, so that one barrier per call is enough.
  template <bool kMax>
  __device__ __forceinline__ std::uint64_t reduce(std::uint64_t x) {
    const auto across_warp = [&] {
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) {
        const std::uint64_t other = __shfl_xor_sync(kFullWarp, x, offset);
        x = kMax ? max(x, other) : x + other;
      }
    };
    across_warp();
    std::uint64_t* buffer = shared_.reduce[buffer_];
    buffer_ ^= 1;
    if (threadIdx.x % 32 == 0) { buffer[threadIdx.x / 32] = x; }
    __syncthreads();
    x = buffer[threadIdx.x % 32];
    across_warp();
    return x;
  }

  // The largest logit and its lowest token.
  __device__ __forceinline__ void find_top() {
    float best = negative_infinity();
    int token = 0;
    visit_vectors([&](const float(&x)[kVector], int first) {
#pragma unroll
      for (int j = 0; j < kVector; ++j) {
        if (x[j] > best) {
          best = x[j];
          token = first + j;
        }
      }
    });
    thread_top_ = best;
    const std::uint64_t top = reduce<true>(pack(best, token));
    top_ = key_logit(static_cast<std::uint32_t>(top >> 32));
    top_token_ = packed_token(top);
  }

  // Copies the tokens at or above floor_ to shared memory where they fit; later visits are then short.
  __device__ __forceinline__ void gather_candidates() {
    if (threadIdx.x == 0) { shared_.num_candidates = 0; }
    __syncthreads();
    visit([&](float x, int token) {
      const int i = atomicAdd(&shared_.num_candidates, 1);
      if (i < kMaxCandidates) {
        shared_.candidate_logit[i] = x;
        shared_.candidate_token[i] = token;
      }
    });
    __syncthreads();
    gathered_ = shared_.num_candidates <= kMaxCandidates;
  }

  // Together, the weights of the tokens at or above `bound`.
  template <class Weight>
  __device__ __forceinline__ std::uint64_t weight_from(float bound, Weight weight) {
    std::uint64_t sum = 0;
    visit([&](float x, int) {
      if (x >= bound) { sum += weight(x); }
    });
    return reduce<false>(sum);
  }

  // The largest logit such that the tokens at or above it weigh at least `wanted`, or floor_ where all weigh less. Bit
  // by bit, from the first in which the keys of floor_ and of the largest logit differ.
  template <class Weight>
  __device__ __forceinline__ float weighted_floor(Weight weight, std::uint64_t wanted) {
    const std::uint32_t differing = score_key(floor_) ^ score_key(top_);
    if (differing == 0) { return floor_; }
    const int highest = 31 - __clz(static_cast<int>(differing));
    std::uint32_t bound = score_key(top_) & (highest == 31 ? 0U : 0xffffffffU << (highest + 1));
    for (int bit = highest; bit >= 32 - kKeyBits; --bit) {
      const std::uint32_t candidate = bound | (1U << bit);
      if (weight_from(key_logit(candidate), weight) >= wanted) { bound = candidate; }
    }
    return fmaxf(key_logit(bound), floor_);
  }

  // The k-th largest logit. The k-th largest of the threads' own maxima is a lower bound near it.
  __device__ __forceinline__ float top_k_floor(int k) {
    if (k <= kThreads) {
      std::uint32_t bound = 0;
      for (int bit = 31; bit >= 0; --bit) {
        const std::uint32_t candidate = bound | (1U << bit);
        if (__syncthreads_count(score_key(thread_top_) >= candidate) >= k) { bound = candidate; }
      }
      floor_ = key_logit(bound);
      gather_candidates();
    }
    return weighted_floor([](float) { return std::uint64_t{1}; }, static_cast<std::uint64_t>(k));
  }

  // The lowest logit of the nucleus: the tokens at or above it hold the share p of the mass.
  __device__ __forceinline__ float nucleus_floor(float p) {
    const auto mass = [&](float x) { return __float2ull_rn(exp2_approx((x - top_) * scale_) * kMassUnit); };
    const std::uint64_t total = weight_from(floor_, mass);
    const auto dropped = static_cast<std::uint64_t>((1.0 - static_cast<double>(p)) * static_cast<double>(total));
    if (!gathered_) {
      // Tokens of less than dropped / vocab each cannot matter: all of them together weigh less than what is dropped.
      const float least = static_cast<float>(dropped) / kMassUnit / static_cast<float>(a_.vocab);
      if (least > 0.0F) { floor_ = fmaxf(floor_, top_ + (__log2f(least) - 0.01F) / scale_); }
      gather_candidates();
    }
    return weighted_floor(mass, max(total - dropped, std::uint64_t{1}));
  }

  __device__ __forceinline__ Philox random_quad(int token) const {
    return philox(a_.seeds[row_], static_cast<std::uint32_t>(token) / 4, static_cast<std::uint32_t>(a_.positions[row_]),
                  a_.request_ids[row_]);
  }
  static __device__ __forceinline__ std::uint32_t of_quad(const Philox& quad, int token) {
    const std::uint32_t even = token % 4 < 2 ? quad.x[0] : quad.x[2];
    const std::uint32_t odd = token % 4 < 2 ? quad.x[1] : quad.x[3];
    return token % 2 == 0 ? even : odd;
  }

  // log2(probability / arrival time) of a token whose logit is `weight` log2 units above the largest.
  static __device__ __forceinline__ float race_score(float weight, float u) { return weight - log2f(-log1pf(-u)); }

  // Replaces top_token_ by the winner of the exponential race. A token arrives no sooner than u after the start, so
  // that most are out as soon as something good has arrived, many before their random number is needed.
  __device__ __forceinline__ void race() {
    float best = race_score(0.0F, random_uniform(of_quad(random_quad(top_token_), top_token_)));
    int token = top_token_;
    const auto latest = [&](float weight) { return exp2_approx(weight - best) * 1.0001F; };
    const auto enter = [&](float weight, int t, std::uint32_t random) {
      const float u = random_uniform(random);
      if (u > latest(weight)) { return; }
      const float score = race_score(weight, u);
      if (score > best || (score == best && t < token)) {
        best = score;
        token = t;
      }
    };
    if (gathered_) {
      visit([&](float x, int t) { enter((x - top_) * scale_, t, of_quad(random_quad(t), t)); });
    } else {
      visit_vectors([&](const float(&x)[kVector], int first) {
#pragma unroll
        for (int q = 0; q < kVector; q += 4) {
          const float largest = fmaxf(fmaxf(x[q], x[q + 1]), fmaxf(x[q + 2], x[q + 3]));
          if (!(largest >= floor_) || latest((largest - top_) * scale_) < 0.5F * kUniformStep) continue;
          const Philox random = random_quad(first + q);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if (x[q + i] >= floor_) enter((x[q + i] - top_) * scale_, first + q + i, random.x[i]);
          }
        }
      });
    }
    top_token_ = packed_token(reduce<true>(pack(best, token)));
  }

  const Sample& a_;
  Shared& shared_;
  int row_;
  const Logit* logits_;
  float scale_ = 0.0F;       // log2(e) / temperature
  float thread_top_ = 0.0F;  // the largest logit that this thread saw
  float top_ = 0.0F;         // the largest logit
  int top_token_ = 0;
  float floor_ = negative_infinity();
  bool gathered_ = false;
  int buffer_ = 0;
};

template <class Logit>
__global__ void __launch_bounds__(kThreads) sample_kernel(const Sample a) {
  extern __shared__ __align__(16) unsigned char storage[];
  if (a.active != nullptr && a.active[blockIdx.x] == 0) { return; }
  RowSampler<Logit>(a, *reinterpret_cast<Shared*>(storage)).run();
}

template <class Logit>
cudaError_t launch(const Sample& a, cudaStream_t stream) {
  const auto kernel = sample_kernel<Logit>;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(sizeof(Shared)));
  if (error != cudaSuccess) { return error; }
  kernel<<<static_cast<unsigned>(a.num_rows), kThreads, sizeof(Shared), stream>>>(a);
  return cudaGetLastError();
}

}  // namespace

cudaError_t sample(const Sample& args, cudaStream_t stream) {
  const bool pointers =
      args.logits && args.temperatures && args.seeds && args.request_ids && args.positions && args.tokens;
  const bool sizes = args.num_rows >= 0 && args.vocab > 0 && args.stride >= args.vocab && args.stride % 8 == 0;
  if (!pointers || !sizes) { return cudaErrorInvalidValue; }
  if (args.num_rows == 0) { return cudaSuccess; }
  return args.type == LogitType::bf16 ? launch<Bf16>(args, stream) : launch<float>(args, stream);
}

}  // namespace vortex::cuda
