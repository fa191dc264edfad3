// Arithmetic of vortex_schedule_policy: doubles that hold an int32 or a float32 exactly
// (core/vflow/config/schedule.cpp).
#pragma once

namespace vortex::compile::device {

__device__ __forceinline__ double as_int(double x) {
  return x != x ? 0.0 : x < -2147483648.0 ? -2147483648.0 : x > 2147483647.0 ? 2147483647.0 : trunc(x);
}
__device__ __forceinline__ double as_float(double x) { return static_cast<double>(static_cast<float>(x)); }
__device__ __forceinline__ double truth(bool x) { return x ? 1.0 : 0.0; }
__device__ __forceinline__ double quotient(double a, double b) { return b == 0.0 ? 0.0 : a / b; }
__device__ __forceinline__ double remainder_of(double a, double b) { return b == 0.0 ? 0.0 : fmod(a, b); }
__device__ __forceinline__ double smaller(double a, double b) { return b < a ? b : a; }
__device__ __forceinline__ double larger(double a, double b) { return a < b ? b : a; }
__device__ __forceinline__ double square_root(double a) { return a < 0.0 ? 0.0 : sqrt(a); }
__device__ __forceinline__ double binary_logarithm(double a) { return a <= 0.0 ? 0.0 : log2(a); }

// topk_val and the reserved blocks.
__device__ __forceinline__ int with_reserved(int topk_val) {
  const long long sum = static_cast<long long>(topk_val) + kReservedBos + kReservedEos;
  return static_cast<int>(max(-2147483648LL, min(2147483647LL, sum)));
}

}  // namespace vortex::compile::device
