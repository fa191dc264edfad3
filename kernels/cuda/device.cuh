// Device helpers shared by the kernels: element conversion, warp reductions, loads that spare the caches. What a GPU
// before Hopper lacks is in sm90_device.cuh.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/cuda/types.h"

namespace vortex::cuda {

inline constexpr unsigned kFullWarp = 0xffffffffU;
inline constexpr float kLog2e = 1.4426950408889634F;
inline constexpr float kLn2 = 0.6931471805599453F;

__host__ __device__ constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

__device__ __forceinline__ float negative_infinity() { return __int_as_float(static_cast<int>(0xff800000U)); }

// 2^x in one instruction; 2^-inf = 0.
__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ float silu(float x) { return x / (1.0F + exp2_approx(-x * kLog2e)); }

// The 8 bf16 values of one 16-byte word.
__device__ __forceinline__ void unpack8(const uint4& bits, float (&x)[8]) {
  const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = __uint_as_float(words[i] << 16);
    x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000U);
  }
}

// Loads 8 consecutive elements, aligned to their size, as float.
__device__ __forceinline__ void load8(const Bf16* p, float (&x)[8]) { unpack8(*reinterpret_cast<const uint4*>(p), x); }

__device__ __forceinline__ void load8(const float* p, float (&x)[8]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float4 part = reinterpret_cast<const float4*>(p)[i];
    x[4 * i] = part.x;
    x[4 * i + 1] = part.y;
    x[4 * i + 2] = part.z;
    x[4 * i + 3] = part.w;
  }
}

template <__nv_fp8_interpretation_t kKind>
__device__ __forceinline__ void load8_fp8(const void* p, float (&x)[8]) {
  const uint2 bits = *static_cast<const uint2*>(p);
  const std::uint32_t words[2] = {bits.x, bits.y};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto pair = static_cast<__nv_fp8x2_storage_t>(words[i / 2] >> (16 * (i % 2)));
    const float2 f = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(pair, kKind)));
    x[2 * i] = f.x;
    x[2 * i + 1] = f.y;
  }
}
__device__ __forceinline__ void load8(const __nv_fp8_e4m3* p, float (&x)[8]) { load8_fp8<__NV_E4M3>(p, x); }
__device__ __forceinline__ void load8(const __nv_fp8_e5m2* p, float (&x)[8]) { load8_fp8<__NV_E5M2>(p, x); }

__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) { x += __shfl_xor_sync(kFullWarp, x, offset); }
  return x;
}

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) { x = fmaxf(x, __shfl_xor_sync(kFullWarp, x, offset)); }
  return x;
}

// Sums kCount values over groups of kLanes consecutive lanes with kCount - 1 shuffles instead of kCount * log2(kLanes):
// each step halves the values that a lane is responsible for. Afterwards, with r = lane % kLanes, lane r holds in
// x[i] the sum of value r * (kCount / kLanes) + i; where kCount < kLanes, kLanes / kCount lanes hold the same sum.
template <int kCount, int kLanes>
__device__ __forceinline__ void reduce_scatter(float (&x)[kCount], int lane) {
  int count = kCount;
#pragma unroll
  for (int width = kLanes / 2; width > 0; width /= 2) {
    if (count > 1) {
      count /= 2;
      const bool upper = (lane & width) != 0;
#pragma unroll
      for (int i = 0; i < kCount / 2; ++i) {
        if (i < count) {
          const float send = upper ? x[i] : x[i + count];
          const float keep = upper ? x[i + count] : x[i];
          x[i] = keep + __shfl_xor_sync(kFullWarp, send, width);
        }
      }
    } else {
      x[0] += __shfl_xor_sync(kFullWarp, x[0], width);
    }
  }
}

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

__device__ __forceinline__ std::uint64_t evict_first_policy() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// Loads 16 bytes that nobody needs again soon: they do not displace what is.
__device__ __forceinline__ uint4 load_once(const void* p, std::uint64_t evict_first) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.L2::cache_hint.v4.u32 {%0, %1, %2, %3}, [%4], %5;"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p), "l"(evict_first)
               : "memory");
  return v;
}

}  // namespace vortex::cuda
