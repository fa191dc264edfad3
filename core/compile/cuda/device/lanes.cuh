// The arithmetic of policies on the device: float32 numbers and sixteen of them at a time, operation for operation and
// order for order that of kernels/cpu/lanes.h and vector_impl.h, so that both backends compute the same values (zeros
// may differ in sign, NaNs in their payload). Compiled with -fmad=false: a product is fused only where fmaf says so.
#pragma once

namespace vortex::compile::device {

constexpr int kLanes = 16;
constexpr float kMasked = -1e30F;  // what Where* gives when its predicate fails

struct Lanes {
  float v[kLanes];
};

// What a tensor's elements are stored as.
enum Type { bf16, fp32, e4m3, e5m2 };
template <Type type>
constexpr int kTypeBytes = type == fp32   ? 4
                           : type == bf16 ? 2
                                          : 1;

__device__ __forceinline__ unsigned bf16_bits(float x) {
  const unsigned bits = __float_as_uint(x);
  return x != x ? (bits >> 16) | 0x40U : (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
}
__device__ __forceinline__ float round_bf16(float x) { return __uint_as_float(bf16_bits(x) << 16); }
__device__ __forceinline__ float widen_bf16(unsigned bits) { return __uint_as_float(bits << 16); }

__device__ __forceinline__ float widen_half(unsigned short bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
template <Type type>
__device__ __forceinline__ float widen_fp8(unsigned bits) {
  unsigned pair;
  if (type == e4m3) {
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pair) : "h"(static_cast<unsigned short>(bits)));
  } else {
    asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(pair) : "h"(static_cast<unsigned short>(bits)));
  }
  return widen_half(static_cast<unsigned short>(pair));
}
template <Type type>
__device__ __forceinline__ unsigned fp8_bits(float x) {
  unsigned short pair;
  if (type == e4m3) {
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0F), "f"(x));
  } else {
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0F), "f"(x));
  }
  return pair & 0xffU;
}

template <Type type>
__device__ __forceinline__ float load(const void* base, long long i) {
  if (type == fp32) { return static_cast<const float*>(base)[i]; }
  if (type == bf16) { return widen_bf16(static_cast<const unsigned short*>(base)[i]); }
  return widen_fp8<type>(static_cast<const unsigned char*>(base)[i]);
}
template <Type type>
__device__ __forceinline__ void store(void* base, long long i, float x) {
  if (type == fp32) {
    static_cast<float*>(base)[i] = x;
  } else if (type == bf16) {
    static_cast<unsigned short*>(base)[i] = static_cast<unsigned short>(bf16_bits(x));
  } else {
    static_cast<unsigned char*>(base)[i] = static_cast<unsigned char>(fp8_bits<type>(x));
  }
}
// The value that a stored x would be read as.
template <Type type>
__device__ __forceinline__ float round_to(float x) {
  return type == fp32 ? x : type == bf16 ? round_bf16(x) : widen_fp8<type>(fp8_bits<type>(x));
}

// Elements i ... i + 15 of an array whose start and i are multiples of 16 bytes and elements.
template <Type type>
__device__ __forceinline__ Lanes load_lanes(const void* base, long long i) {
  Lanes out;
  const uint4* words = reinterpret_cast<const uint4*>(static_cast<const char*>(base) + i * kTypeBytes<type>);
#pragma unroll
  for (int w = 0; w < kTypeBytes<type>; ++w) {
    const uint4 word = words[w];
    const unsigned parts[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (type == fp32) {
        out.v[4 * w + j] = __uint_as_float(parts[j]);
      } else if (type == bf16) {
        out.v[8 * w + 2 * j] = __uint_as_float(parts[j] << 16);
        out.v[8 * w + 2 * j + 1] = __uint_as_float(parts[j] & 0xffff0000U);
      } else {
#pragma unroll
        for (int b = 0; b < 4; ++b) { out.v[4 * j + b] = widen_fp8<type>((parts[j] >> (8 * b)) & 0xffU); }
      }
    }
  }
  return out;
}

// Elements i ... i + 15 of such an array of bfloat16, rounded; a NaN is stored as some NaN.
__device__ __forceinline__ void store_lanes(void* base, long long i, const Lanes& x) {
  uint4* words = reinterpret_cast<uint4*>(static_cast<char*>(base) + i * 2);
#pragma unroll
  for (int w = 0; w < 2; ++w) {
    unsigned parts[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(parts[j]) : "f"(x.v[8 * w + 2 * j + 1]), "f"(x.v[8 * w + 2 * j]));
    }
    words[w] = make_uint4(parts[0], parts[1], parts[2], parts[3]);
  }
}

template <class At>
__device__ __forceinline__ Lanes each(At at) {
  Lanes out;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) { out.v[i] = at(i); }
  return out;
}
// The first `count` lanes from at(i), the others 0.
template <class At>
__device__ __forceinline__ Lanes gather(int count, At at) {
  return each([&](int i) { return i < count ? at(i) : 0.0F; });
}
__device__ __forceinline__ Lanes splat(float x) {
  return each([&](int) { return x; });
}

__device__ __forceinline__ float maximum(float a, float b) {
  float out;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(out) : "f"(a), "f"(b));
  return out;
}
__device__ __forceinline__ float minimum(float a, float b) {
  float out;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(out) : "f"(a), "f"(b));
  return out;
}

__device__ __forceinline__ float nearest_integer(float x) { return (x + 12582912.0F) - 12582912.0F; }
__device__ __forceinline__ float power_of_two(float n) {
  return __uint_as_float(static_cast<unsigned>(__float2int_rn(n) + 127) << 23);
}

// e^(x - n ln 2) for n nearest to x / ln 2.
__device__ __forceinline__ float exponential_of_rest(float n, float x) {
  float r = fmaf(n, -0.693145752F, x);
  r = fmaf(n, -1.42860677e-6F, r);
  float p = 1.0F / 5040.0F;
  p = fmaf(p, r, 1.0F / 720.0F);
  p = fmaf(p, r, 1.0F / 120.0F);
  p = fmaf(p, r, 1.0F / 24.0F);
  p = fmaf(p, r, 1.0F / 6.0F);
  p = fmaf(p, r, 0.5F);
  p = fmaf(p, r, 1.0F);
  p = fmaf(p, r, 1.0F);
  return p;
}

#ifdef VORTEX_SPECIAL_FORMS
constexpr bool kSpecialForms = true;
#else
constexpr bool kSpecialForms = false;
#endif

// 2^n with n in the low bits of a float that 12582912.0F was added to.
__device__ __forceinline__ float power_of_low_bits(unsigned bits) {
  return __uint_as_float((bits << 23) + 0x3f800000U);
}

// exponential() with the same bits, in 20 instructions instead of 30 and without conversions, of which a multiprocessor
// has 16 a cycle: sums with 12582912.0F have the integers in their low bits, and a NaN stays one all the way.
__device__ __forceinline__ float exponential_in_few(float x) {
  const float cut = maximum(minimum(x, 89.0F), -104.0F);
  const float shifted = cut * 1.44269504F + 12582912.0F;
  const float n = shifted - 12582912.0F;
  const float p = exponential_of_rest(n, cut);
  const unsigned whole = __float_as_uint(shifted);
  const unsigned half = __float_as_uint(fmaf(n, 0.5F, 12582912.0F));
  return (p * power_of_low_bits(half)) * power_of_low_bits(whole - half);
}

// 1 / d and x / d without a branch, one Newton step behind the hardware's approximation. d lies in [1, 2^126], for
// quotients in [1, 2^60], and x is 0 or in [2^-60, 2^60]. Whether they round as divisions do rests on how near the
// approximation comes: PolicyForms.SpecialFunctionsHaveTheSameBits compares all mantissas on a device.
__device__ __forceinline__ float reciprocal_in_range(float d) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(d));
  return fmaf(r, fmaf(-d, r, 1.0F), r);
}
__device__ __forceinline__ float quotient_in_range(float x, float d) {
  const float r = reciprocal_in_range(d);
  float q = x * r;
  q = fmaf(fmaf(-d, q, x), r, q);
  return fmaf(fmaf(-d, q, x), r, q);
}
__device__ __noinline__ float quotient_of_any(float x, float d) { return x / d; }

__device__ inline float exponential_in_full(float x) {
  const float cut = x > 89.0F ? 89.0F : -104.0F > x ? -104.0F : x;
  const float n = nearest_integer(cut * 1.44269504F);
  const float p = exponential_of_rest(n, cut);
  const float n1 = nearest_integer(n * 0.5F);
  const float result = (p * power_of_two(n1)) * power_of_two(n - n1);
  return x != x ? x : result;
}

__device__ inline float exponential(float x) { return kSpecialForms ? exponential_in_few(x) : exponential_in_full(x); }

__device__ inline float logarithm(float x) {
  const bool tiny = 1.17549435e-38F > x;
  const unsigned bits = __float_as_uint(tiny ? x * 8388608.0F : x);
  float e = static_cast<float>(static_cast<int>(bits >> 23) - 127);
  float m = __uint_as_float((bits & 0x007fffffU) | 0x3f800000U);
  e = tiny ? e - 23.0F : e;
  const bool large = m > 1.41421356F;
  m = large ? m * 0.5F : m;
  e = large ? e + 1.0F : e;
  const float f = m - 1.0F;
  const float s = f / (f + 2.0F);
  const float z = s * s;
  float p = 1.0F / 11.0F;
  p = fmaf(p, z, 1.0F / 9.0F);
  p = fmaf(p, z, 1.0F / 7.0F);
  p = fmaf(p, z, 1.0F / 5.0F);
  p = fmaf(p, z, 1.0F / 3.0F);
  const float twice = s + s;
  const float small = fmaf(twice * z, p, e * 1.42860677e-6F);
  const float result = fmaf(e, 0.693145752F, twice + small);
  const float infinity = __uint_as_float(0x7f800000U);
  if (x != x || x == infinity) { return x; }
  return x == 0.0F ? -infinity : 0.0F > x ? __uint_as_float(0x7fc00000U) : result;
}

// A sigmoid and a SiLU of sixteen numbers, with one test for all of their divisions.
__device__ __forceinline__ Lanes sigmoid_lanes(const Lanes& x, float alpha, float beta) {
  const Lanes d = each([&](int i) { return 1.0F + exponential(fmaf(beta, x.v[i], alpha)); });
  bool in_range = true;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) { in_range = in_range && d.v[i] <= 8.50705917e37F; }
  if (in_range) {
    return each([&](int i) { return reciprocal_in_range(d.v[i]); });
  }
  return each([&](int i) { return quotient_of_any(1.0F, d.v[i]); });
}
__device__ __forceinline__ Lanes silu_lanes(const Lanes& x, float alpha, float beta) {
  const Lanes d = each([&](int i) { return 1.0F + exponential(fmaf(beta, x.v[i], alpha)); });
  bool in_range = true;
#pragma unroll
  for (int i = 0; i < kLanes; ++i) {
    const float size = fabsf(x.v[i]);
    in_range =
        in_range && d.v[i] <= 1.15292150e18F && size <= 1.15292150e18F && (size >= 8.67361738e-19F || size == 0.0F);
  }
  if (in_range) {
    return each([&](int i) { return quotient_in_range(x.v[i], d.v[i]); });
  }
  return each([&](int i) { return quotient_of_any(x.v[i], d.v[i]); });
}

// Elementwise operations, on numbers and on lanes.
__device__ __forceinline__ float multiply(float x, float y) { return x * y; }
__device__ __forceinline__ float add(float x, float y, float alpha, float beta) { return fmaf(alpha, x, beta * y); }
__device__ __forceinline__ float where_equal(float x, float y) { return x == y ? 0.0F : kMasked; }
__device__ __forceinline__ float where_not_equal(float x, float y) { return x != y ? 0.0F : kMasked; }
__device__ __forceinline__ float where_greater(float x, float y) { return x > y ? 0.0F : kMasked; }
__device__ __forceinline__ float where_greater_equal(float x, float y) { return x >= y ? 0.0F : kMasked; }
__device__ __forceinline__ float where_less(float x, float y) { return x < y ? 0.0F : kMasked; }
__device__ __forceinline__ float where_less_equal(float x, float y) { return x <= y ? 0.0F : kMasked; }
__device__ __forceinline__ float relu(float x, float alpha, float beta) { return x >= alpha ? x : beta; }
__device__ __forceinline__ float sigmoid(float x, float alpha, float beta) {
  return 1.0F / (1.0F + exponential(fmaf(beta, x, alpha)));
}
__device__ __forceinline__ float silu(float x, float alpha, float beta) {
  return x / (1.0F + exponential(fmaf(beta, x, alpha)));
}
__device__ __forceinline__ float add_mul(float x, float alpha, float beta) { return fmaf(beta, x, alpha); }
__device__ __forceinline__ float absolute(float x, float alpha, float beta) { return fabsf(fmaf(beta, x, alpha)); }
__device__ __forceinline__ float log(float x, float alpha, float beta) { return logarithm(fmaf(beta, x, alpha)); }
__device__ __forceinline__ float exp(float x, float alpha, float beta) { return exponential(fmaf(beta, x, alpha)); }

#define VORTEX_TWO_OPERANDS(name)                                         \
  __device__ __forceinline__ Lanes name(const Lanes& x, const Lanes& y) { \
    return each([&](int i) { return name(x.v[i], y.v[i]); });             \
  }
#define VORTEX_ONE_OPERAND(name)                                                   \
  __device__ __forceinline__ Lanes name(const Lanes& x, float alpha, float beta) { \
    return each([&](int i) { return name(x.v[i], alpha, beta); });                 \
  }
VORTEX_TWO_OPERANDS(multiply)
VORTEX_TWO_OPERANDS(maximum)
VORTEX_TWO_OPERANDS(minimum)
VORTEX_TWO_OPERANDS(where_equal)
VORTEX_TWO_OPERANDS(where_not_equal)
VORTEX_TWO_OPERANDS(where_greater)
VORTEX_TWO_OPERANDS(where_greater_equal)
VORTEX_TWO_OPERANDS(where_less)
VORTEX_TWO_OPERANDS(where_less_equal)
VORTEX_ONE_OPERAND(relu)
#ifdef VORTEX_SPECIAL_FORMS
__device__ __forceinline__ Lanes sigmoid(const Lanes& x, float alpha, float beta) {
  return sigmoid_lanes(x, alpha, beta);
}
__device__ __forceinline__ Lanes silu(const Lanes& x, float alpha, float beta) { return silu_lanes(x, alpha, beta); }
#else
VORTEX_ONE_OPERAND(sigmoid)
VORTEX_ONE_OPERAND(silu)
#endif
VORTEX_ONE_OPERAND(add_mul)
VORTEX_ONE_OPERAND(absolute)
VORTEX_ONE_OPERAND(log)
VORTEX_ONE_OPERAND(exp)
__device__ __forceinline__ Lanes add(const Lanes& x, const Lanes& y, float alpha, float beta) {
  return each([&](int i) { return add(x.v[i], y.v[i], alpha, beta); });
}

// Reductions: `first` and `step` take elements into a state, `combine` joins states, `finish` ends with one.
struct Sum {
  static constexpr bool kExtreme = false;
  __device__ __forceinline__ static float first(float x) { return x; }
  __device__ __forceinline__ static float step(float state, float x) { return state + x; }
  __device__ __forceinline__ static float combine(float a, float b) { return a + b; }
  __device__ __forceinline__ static float finish(float state, int) { return state; }
};
struct Mean : Sum {
  __device__ __forceinline__ static float finish(float state, int count) { return state / static_cast<float>(count); }
};
struct L2Norm : Sum {
  __device__ __forceinline__ static float first(float x) { return x * x; }
  __device__ __forceinline__ static float step(float state, float x) { return fmaf(x, x, state); }
  __device__ __forceinline__ static float finish(float state, int) { return sqrtf(state); }
};
struct Max : Sum {
  static constexpr bool kExtreme = true;
  __device__ __forceinline__ static float step(float state, float x) { return maximum(state, x); }
  __device__ __forceinline__ static float combine(float a, float b) { return maximum(a, b); }
};
struct Min : Sum {
  static constexpr bool kExtreme = true;
  __device__ __forceinline__ static float step(float state, float x) { return minimum(state, x); }
  __device__ __forceinline__ static float combine(float a, float b) { return minimum(a, b); }
};

// Lane i + lane i + 8, then i + i + 4, i + i + 2, i + i + 1.
template <class Op>
__device__ __forceinline__ float fold(Lanes a) {
#pragma unroll
  for (int width = kLanes / 2; width > 0; width /= 2) {
#pragma unroll
    for (int i = 0; i < kLanes / 2; ++i) {
      if (i < width) { a.v[i] = Op::combine(a.v[i], a.v[i + width]); }
    }
  }
  return a.v[0];
}

// `count` elements at(0), at(1), ... one after the other.
template <class Op, int count, class At>
__device__ __forceinline__ float reduce_in_order(At at) {
  float state = Op::first(at(0));
#pragma unroll 4
  for (int i = 1; i < count; ++i) { state = Op::step(state, at(i)); }
  return Op::finish(state, count);
}

// `count` >= 16 elements; element i goes to lane i % 16. lanes(i) gives elements i ... i + 15, 0 past the last.
template <class Op, int count, class Line>
__device__ __forceinline__ float reduce_lanes(Line lanes) {
  const Lanes start = lanes(0);
  Lanes state = each([&](int j) { return Op::first(start.v[j]); });
#pragma unroll 4
  for (int i = kLanes; i + kLanes <= count; i += kLanes) {
    const Lanes x = lanes(i);
    state = each([&](int j) { return Op::step(state.v[j], x.v[j]); });
  }
  constexpr int kTail = count % kLanes;
  if (kTail != 0) {
    const Lanes x = lanes(count - kTail);
    state = each([&](int j) { return Op::kExtreme && j >= kTail ? state.v[j] : Op::step(state.v[j], x.v[j]); });
  }
  return Op::finish(fold<Op>(state), count);
}

template <int count, class X, class Y>
__device__ __forceinline__ float dot_in_order(X x, Y y) {
  float state = 0.0F;
#pragma unroll 4
  for (int i = 0; i < count; ++i) { state = fmaf(x(i), y(i), state); }
  return state;
}
template <int count, class X, class Y>
__device__ __forceinline__ float dot_lanes(X x, Y y) {
  Lanes state = splat(0.0F);
#pragma unroll 4
  for (int i = 0; i < count; i += kLanes) {
    const Lanes a = x(i);
    const Lanes b = y(i);
    state = each([&](int j) { return fmaf(a.v[j], b.v[j], state.v[j]); });
  }
  return fold<Sum>(state);
}

}  // namespace vortex::compile::device
