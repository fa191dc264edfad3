#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMaxVectors = 4;  // of 8 elements, a thread
constexpr int kMaxWidth = kThreads * kMaxVectors * 8;

__device__ __forceinline__ void store8(Bf16* p, const float (&x)[8]) {
  std::uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
    words[i] = *reinterpret_cast<const std::uint32_t*>(&pair);
  }
  *reinterpret_cast<uint4*>(p) = make_uint4(words[0], words[1], words[2], words[3]);
}

__global__ void __launch_bounds__(kThreads) residual_rms_norm_kernel(const ResidualNorm a) {
  __shared__ float warp_squares[kThreads / 32];
  const std::int64_t start = static_cast<std::int64_t>(blockIdx.x) * a.width;
  allow_successor();
  uint4 weights[kMaxVectors];  // never written: they need not be waited for
#pragma unroll
  for (int v = 0; v < kMaxVectors; ++v) {
    const int at = (v * kThreads + static_cast<int>(threadIdx.x)) * 8;
    if (at < a.width) { weights[v] = *reinterpret_cast<const uint4*>(a.weight + at); }
  }
  wait_for_predecessors();
  float rows[kMaxVectors][8];
  float squares = 0.0F;
#pragma unroll
  for (int v = 0; v < kMaxVectors; ++v) {
    const int at = (v * kThreads + static_cast<int>(threadIdx.x)) * 8;
    if (at >= a.width) { break; }
    load8(a.residual + start + at, rows[v]);
    if (a.x != nullptr) {
      float x[8];
      load8(a.x + start + at, x);
#pragma unroll
      for (int i = 0; i < 8; ++i) { rows[v][i] = __bfloat162float(__float2bfloat16_rn(rows[v][i] + x[i])); }
      store8(a.residual + start + at, rows[v]);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) { squares = fmaf(rows[v][i], rows[v][i], squares); }
  }
  squares = warp_sum(squares);
  if (threadIdx.x % 32 == 0) { warp_squares[threadIdx.x / 32] = squares; }
  __syncthreads();
  float total = 0.0F;
#pragma unroll
  for (float s : warp_squares) { total += s; }
  const float inverse = rsqrtf(total / static_cast<float>(a.width) + a.epsilon);
#pragma unroll
  for (int v = 0; v < kMaxVectors; ++v) {
    const int at = (v * kThreads + static_cast<int>(threadIdx.x)) * 8;
    if (at >= a.width) { break; }
    float weight[8];
    unpack8(weights[v], weight);
#pragma unroll
    for (int i = 0; i < 8; ++i) { rows[v][i] *= inverse * weight[i]; }
    store8(a.out + start + at, rows[v]);
  }
}

__global__ void __launch_bounds__(kThreads)
    swiglu_kernel(const Bf16* gate_up, Bf16* out, std::int64_t vectors, int width) {
  const int vectors_per_token = width / 8;
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  allow_successor();
  wait_for_predecessors();
  if (i >= vectors) { return; }
  const Bf16* from = gate_up + i / vectors_per_token * 2 * width + i % vectors_per_token * 8;
  float gate[8];
  float up[8];
  load8(from, gate);
  load8(from + width, up);
#pragma unroll
  for (int d = 0; d < 8; ++d) { gate[d] = silu(gate[d]) * up[d]; }
  store8(out + i * 8, gate);
}

}  // namespace

cudaError_t residual_rms_norm(const ResidualNorm& args, cudaStream_t stream) {
  if (!args.residual || !args.weight || !args.out || args.num_tokens < 0 || args.width <= 0) {
    return cudaErrorInvalidValue;
  }
  if (args.width % 8 != 0 || args.width > kMaxWidth) { return cudaErrorNotSupported; }
  if (args.num_tokens == 0) { return cudaSuccess; }
  return launch_early(residual_rms_norm_kernel, dim3(static_cast<unsigned>(args.num_tokens)), kThreads, 0, stream,
                      args);
}

cudaError_t swiglu(const Bf16* gate_up, Bf16* out, int num_tokens, int width, cudaStream_t stream) {
  if (!gate_up || !out || num_tokens < 0 || width <= 0) { return cudaErrorInvalidValue; }
  if (width % 8 != 0) { return cudaErrorNotSupported; }
  if (num_tokens == 0) { return cudaSuccess; }
  const std::int64_t vectors = static_cast<std::int64_t>(num_tokens) * (width / 8);
  const auto grid = static_cast<unsigned>((vectors + kThreads - 1) / kThreads);
  return launch_early(swiglu_kernel, dim3(grid), kThreads, 0, stream, gate_up, out, vectors, width);
}

}  // namespace vortex::cuda
