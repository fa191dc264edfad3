// Sixteen float32 lanes on whatever the including file is compiled for: AVX-512, AVX2 with FMA, or plain arrays.
// Included by *_impl.h only; everything is internal to the file that includes it. All variants compute the same bits:
// the operations are IEEE ones or built from them here, and `sum` adds in one fixed order.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace vortex::cpu {
namespace {

constexpr int kLanes = 16;

#if defined(__AVX512F__)

struct Lanes {
  __m512 v;
};
struct Mask {
  __mmask16 v;
};

inline __mmask16 first_n(int n) { return static_cast<__mmask16>((1U << n) - 1U); }

inline Lanes splat(float x) { return {_mm512_set1_ps(x)}; }
inline Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
// n < 16 elements, the other lanes 0.
inline Lanes load_n(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_n(n), p)}; }
inline void store(float* p, Lanes a) { _mm512_storeu_ps(p, a.v); }
inline void store_n(float* p, Lanes a, int n) { _mm512_mask_storeu_ps(p, first_n(n), a.v); }

inline Lanes widen_bf16(__m256i bits) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
inline Lanes load_bf16(const Bf16* p) { return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline Lanes load_bf16_n(const Bf16* p, int n) { return widen_bf16(_mm256_maskz_loadu_epi16(first_n(n), p)); }
// 32 consecutive elements: those at even and those at odd places.
inline void load_bf16_pairs(const Bf16* p, Lanes& even, Lanes& odd) {
  const __m512i bits = _mm512_loadu_si512(p);
  even.v = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
  odd.v = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(static_cast<int>(0xffff0000U))));
}

inline Lanes operator+(Lanes a, Lanes b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Lanes operator-(Lanes a, Lanes b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Lanes operator*(Lanes a, Lanes b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Lanes operator/(Lanes a, Lanes b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Lanes square_root(Lanes a) { return {_mm512_sqrt_ps(a.v)}; }
inline Lanes absolute(Lanes a) { return {_mm512_abs_ps(a.v)}; }

inline Mask equal(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask not_equal(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_NEQ_UQ)}; }
inline Mask greater(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask greater_equal(Lanes a, Lanes b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ)}; }
inline Lanes select(Mask m, Lanes yes, Lanes no) { return {_mm512_mask_blend_ps(m.v, no.v, yes.v)}; }

// 2^n for integers n in [-126, 127].
inline Lanes power_of_two(Lanes n) {
  const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}
// x = mantissa * 2^exponent with mantissa in [1, 2), for normal positive x.
inline void split(Lanes x, Lanes& mantissa, Lanes& exponent) {
  const __m512i bits = _mm512_castps_si512(x.v);
  exponent.v = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(bits, 23), _mm512_set1_epi32(127)));
  const __m512i fraction = _mm512_and_si512(bits, _mm512_set1_epi32(0x007fffff));
  mantissa.v = _mm512_castsi512_ps(_mm512_or_si512(fraction, _mm512_set1_epi32(0x3f800000)));
}

inline __m512i bf16_bits(Lanes a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i upper = _mm512_srli_epi32(bits, 16);
  const __m512i bias = _mm512_add_epi32(_mm512_and_si512(upper, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, bias), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40));
}
inline Lanes round_bf16(Lanes a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(bf16_bits(a), 16))}; }
inline void store_bf16(Bf16* p, Lanes a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(bf16_bits(a)));
}
inline void store_bf16_n(Bf16* p, Lanes a, int n) {
  _mm256_mask_storeu_epi16(p, first_n(n), _mm512_cvtepi32_epi16(bf16_bits(a)));
}

inline __m256 add_halves(Lanes a) { return _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1)); }

#elif defined(__AVX2__)

struct Lanes {
  __m256 lo, hi;
};
struct Mask {
  __m256 lo, hi;
};

inline Lanes splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline __m256i first_n(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
// n < 16 elements, the other lanes 0.
inline Lanes load_n(const float* p, int n) {
  if (n <= 8) { return {_mm256_maskload_ps(p, first_n(n)), _mm256_setzero_ps()}; }
  return {_mm256_loadu_ps(p), _mm256_maskload_ps(p + 8, first_n(n - 8))};
}
inline void store(float* p, Lanes a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline void store_n(float* p, Lanes a, int n) {
  if (n <= 8) {
    _mm256_maskstore_ps(p, first_n(n), a.lo);
    return;
  }
  _mm256_storeu_ps(p, a.lo);
  _mm256_maskstore_ps(p + 8, first_n(n - 8), a.hi);
}

inline __m256 widen_bf16(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Lanes load_bf16(const Bf16* p) {
  return {widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline Lanes load_bf16_n(const Bf16* p, int n) {
  Bf16 padded[kLanes] = {};
  for (int i = 0; i < n; ++i) { padded[i] = p[i]; }
  return load_bf16(padded);
}
// 32 consecutive elements: those at even and those at odd places.
inline void load_bf16_pairs(const Bf16* p, Lanes& even, Lanes& odd) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
  even = {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
  odd = {_mm256_castsi256_ps(_mm256_and_si256(a, upper)), _mm256_castsi256_ps(_mm256_and_si256(b, upper))};
}

inline Lanes operator+(Lanes a, Lanes b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline Lanes operator-(Lanes a, Lanes b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline Lanes operator*(Lanes a, Lanes b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline Lanes operator/(Lanes a, Lanes b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline Lanes square_root(Lanes a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
inline Lanes absolute(Lanes a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

template <int predicate>
inline Mask compare(Lanes a, Lanes b) {
  return {_mm256_cmp_ps(a.lo, b.lo, predicate), _mm256_cmp_ps(a.hi, b.hi, predicate)};
}
inline Mask equal(Lanes a, Lanes b) { return compare<_CMP_EQ_OQ>(a, b); }
inline Mask not_equal(Lanes a, Lanes b) { return compare<_CMP_NEQ_UQ>(a, b); }
inline Mask greater(Lanes a, Lanes b) { return compare<_CMP_GT_OQ>(a, b); }
inline Mask greater_equal(Lanes a, Lanes b) { return compare<_CMP_GE_OQ>(a, b); }
inline Lanes select(Mask m, Lanes yes, Lanes no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, m.lo), _mm256_blendv_ps(no.hi, yes.hi, m.hi)};
}

inline __m256 power_of_two(__m256 n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
// 2^n for integers n in [-126, 127].
inline Lanes power_of_two(Lanes n) { return {power_of_two(n.lo), power_of_two(n.hi)}; }
inline void split(__m256 x, __m256& mantissa, __m256& exponent) {
  const __m256i bits = _mm256_castps_si256(x);
  exponent = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127)));
  const __m256i fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff));
  mantissa = _mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(0x3f800000)));
}
// x = mantissa * 2^exponent with mantissa in [1, 2), for normal positive x.
inline void split(Lanes x, Lanes& mantissa, Lanes& exponent) {
  split(x.lo, mantissa.lo, exponent.lo);
  split(x.hi, mantissa.hi, exponent.hi);
}

inline __m256i bf16_bits(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i bias = _mm256_add_epi32(_mm256_and_si256(upper, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
inline Lanes round_bf16(Lanes a) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(bf16_bits(a.lo), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(bf16_bits(a.hi), 16))};
}
inline void store_bf16(Bf16* p, Lanes a) {
  const __m256i packed = _mm256_packus_epi32(bf16_bits(a.lo), bf16_bits(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
inline void store_bf16_n(Bf16* p, Lanes a, int n) {
  Bf16 all[kLanes];
  store_bf16(all, a);
  for (int i = 0; i < n; ++i) { p[i] = all[i]; }
}

inline __m256 add_halves(Lanes a) { return _mm256_add_ps(a.lo, a.hi); }

#else

struct Lanes {
  float v[kLanes];
};
struct Mask {
  bool v[kLanes];
};

template <typename Function>
inline Lanes each(Function function) {
  Lanes out;
  for (int i = 0; i < kLanes; ++i) { out.v[i] = function(i); }
  return out;
}
template <typename Function>
inline Mask test(Function function) {
  Mask out;
  for (int i = 0; i < kLanes; ++i) { out.v[i] = function(i); }
  return out;
}

inline Lanes load_n(const float* p, int n) {
  return each([&](int i) { return i < n ? p[i] : 0.0F; });
}
inline Lanes splat(float x) {
  return each([&](int) { return x; });
}
inline Lanes load(const float* p) { return load_n(p, kLanes); }
inline void store_n(float* p, Lanes a, int n) {
  for (int i = 0; i < n; ++i) { p[i] = a.v[i]; }
}
inline void store(float* p, Lanes a) { store_n(p, a, kLanes); }
inline Lanes load_bf16_n(const Bf16* p, int n) {
  return each([&](int i) { return i < n ? bf16_to_float(p[i]) : 0.0F; });
}
inline Lanes load_bf16(const Bf16* p) { return load_bf16_n(p, kLanes); }
inline void load_bf16_pairs(const Bf16* p, Lanes& even, Lanes& odd) {
  even = each([&](int i) { return bf16_to_float(p[2 * i]); });
  odd = each([&](int i) { return bf16_to_float(p[2 * i + 1]); });
}

inline Lanes operator+(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Lanes operator-(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Lanes operator*(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Lanes operator/(Lanes a, Lanes b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Lanes fma(Lanes a, Lanes b, Lanes c) {
  return each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline Lanes square_root(Lanes a) {
  return each([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
inline Lanes absolute(Lanes a) {
  return each([&](int i) { return __builtin_fabsf(a.v[i]); });
}

inline Mask equal(Lanes a, Lanes b) {
  return test([&](int i) { return a.v[i] == b.v[i]; });
}
inline Mask not_equal(Lanes a, Lanes b) {
  return test([&](int i) { return a.v[i] != b.v[i]; });
}
inline Mask greater(Lanes a, Lanes b) {
  return test([&](int i) { return a.v[i] > b.v[i]; });
}
inline Mask greater_equal(Lanes a, Lanes b) {
  return test([&](int i) { return a.v[i] >= b.v[i]; });
}
inline Lanes select(Mask m, Lanes yes, Lanes no) {
  return each([&](int i) { return m.v[i] ? yes.v[i] : no.v[i]; });
}

inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline float float_of(std::uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof(x));
  return x;
}
// The AVX conversion of a NaN or a value out of range gives the smallest integer; a plain cast would be undefined.
inline std::uint32_t to_integer(float x) {
  return x > -1e9F && x < 1e9F ? static_cast<std::uint32_t>(static_cast<std::int32_t>(x)) : 0x80000000U;
}
inline Lanes power_of_two(Lanes n) {
  return each([&](int i) { return float_of((to_integer(n.v[i]) + 127U) << 23); });
}
inline void split(Lanes x, Lanes& mantissa, Lanes& exponent) {
  exponent = each([&](int i) { return static_cast<float>(static_cast<std::int32_t>(bits_of(x.v[i]) >> 23) - 127); });
  mantissa = each([&](int i) { return float_of((bits_of(x.v[i]) & 0x007fffffU) | 0x3f800000U); });
}

inline Lanes round_bf16(Lanes a) {
  return each([&](int i) { return round_to_bf16(a.v[i]); });
}
inline void store_bf16_n(Bf16* p, Lanes a, int n) {
  for (int i = 0; i < n; ++i) { p[i] = float_to_bf16(a.v[i]); }
}
inline void store_bf16(Bf16* p, Lanes a) { store_bf16_n(p, a, kLanes); }

#endif

// The order of every sum over lanes: lane i + lane i+8, then i + i+4, i + i+2, i + i+1.
#if defined(__AVX2__)
inline float sum(Lanes a) {
  const __m256 eight = add_halves(a);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
// The largest lane by the same tree of (a > b ? a : b); which lane a NaN hides is the same everywhere.
inline float largest(Lanes a) {
#if defined(__AVX512F__)
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
#else
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
#endif
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// Lane groups on their way to `sum`: two vectors folded to four lanes each, side by side.
struct Folded {
  __m256 v;
};
inline Folded fold(Lanes a, Lanes b) {
  const __m256 x = add_halves(a);
  const __m256 y = add_halves(b);
  return {_mm256_add_ps(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31))};
}
// The sums of four such pairs: out_a[t] = sum(a of pair t), out_b[t] = sum(b of pair t), in the order of `sum`.
inline void sum_folded(const Folded* pairs, float* out_a, float* out_b) {
  const __m256 x =
      _mm256_add_ps(_mm256_shuffle_ps(pairs[0].v, pairs[1].v, 0x44), _mm256_shuffle_ps(pairs[0].v, pairs[1].v, 0xee));
  const __m256 y =
      _mm256_add_ps(_mm256_shuffle_ps(pairs[2].v, pairs[3].v, 0x44), _mm256_shuffle_ps(pairs[2].v, pairs[3].v, 0xee));
  const __m256 sums = _mm256_add_ps(_mm256_shuffle_ps(x, y, 0x88), _mm256_shuffle_ps(x, y, 0xdd));
  _mm_storeu_ps(out_a, _mm256_castps256_ps128(sums));
  _mm_storeu_ps(out_b, _mm256_extractf128_ps(sums, 1));
}
#else
inline float largest(Lanes a) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) { a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width]; }
  }
  return a.v[0];
}
inline float sum(Lanes a) {
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) { a.v[i] = a.v[i] + a.v[i + width]; }
  }
  return a.v[0];
}
struct Folded {
  Lanes a, b;
};
inline Folded fold(Lanes a, Lanes b) { return {a, b}; }
inline void sum_folded(const Folded* pairs, float* out_a, float* out_b) {
  for (int t = 0; t < 4; ++t) {
    out_a[t] = sum(pairs[t].a);
    out_b[t] = sum(pairs[t].b);
  }
}
#endif

// Maximum and minimum; a NaN in either operand gives a NaN.
inline Lanes maximum(Lanes a, Lanes b) { return select(greater(a, b), a, select(not_equal(a, a), a, b)); }
inline Lanes minimum(Lanes a, Lanes b) { return select(greater(b, a), a, select(not_equal(a, a), a, b)); }

// The nearest integer, for |x| < 2^22.
inline Lanes nearest_integer(Lanes x) {
  const Lanes magic = splat(12582912.0F);  // 1.5 * 2^23: the sum has no bits below 1
  return (x + magic) - magic;
}

// e^x: x = n ln 2 + r, Taylor terms of e^r up to r^7 (|r| <= 0.35: truncation below 1e-8), then two exact powers of two
// so that results reach from denormals to infinity.
inline Lanes exponential(Lanes x) {
  const Lanes lowest = splat(-104.0F);
  const Lanes highest = splat(89.0F);
  const Lanes cut = select(greater(x, highest), highest, select(greater(lowest, x), lowest, x));
  const Lanes n = nearest_integer(cut * splat(1.44269504F));
  Lanes r = fma(n, splat(-0.693145752F), cut);
  r = fma(n, splat(-1.42860677e-6F), r);
  Lanes p = splat(1.0F / 5040.0F);
  p = fma(p, r, splat(1.0F / 720.0F));
  p = fma(p, r, splat(1.0F / 120.0F));
  p = fma(p, r, splat(1.0F / 24.0F));
  p = fma(p, r, splat(1.0F / 6.0F));
  p = fma(p, r, splat(0.5F));
  p = fma(p, r, splat(1.0F));
  p = fma(p, r, splat(1.0F));
  const Lanes n1 = nearest_integer(n * splat(0.5F));
  const Lanes result = (p * power_of_two(n1)) * power_of_two(n - n1);
  return select(not_equal(x, x), x, result);
}

// ln x: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh(s), s = (m - 1) / (m + 1), series up to s^11.
inline Lanes logarithm(Lanes x) {
  const Lanes zero = splat(0.0F);
  const Lanes infinity = splat(__builtin_inff());
  const Mask tiny = greater(splat(1.17549435e-38F), x);  // denormals are scaled up first
  const Lanes scaled = select(tiny, x * splat(8388608.0F), x);
  Lanes m;
  Lanes e;
  split(scaled, m, e);
  e = select(tiny, e - splat(23.0F), e);
  const Mask large = greater(m, splat(1.41421356F));
  m = select(large, m * splat(0.5F), m);
  e = select(large, e + splat(1.0F), e);
  const Lanes f = m - splat(1.0F);
  const Lanes s = f / (f + splat(2.0F));
  const Lanes z = s * s;
  Lanes p = splat(1.0F / 11.0F);
  p = fma(p, z, splat(1.0F / 9.0F));
  p = fma(p, z, splat(1.0F / 7.0F));
  p = fma(p, z, splat(1.0F / 5.0F));
  p = fma(p, z, splat(1.0F / 3.0F));
  const Lanes twice = s + s;
  const Lanes small = fma(twice * z, p, e * splat(1.42860677e-6F));
  Lanes result = fma(e, splat(0.693145752F), twice + small);
  result = select(equal(x, zero), splat(-__builtin_inff()), result);
  result = select(greater(zero, x), splat(__builtin_nanf("")), result);
  result = select(equal(x, infinity), infinity, result);
  return select(not_equal(x, x), x, result);
}

}  // namespace
}  // namespace vortex::cpu
