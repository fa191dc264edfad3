// A warp multiplies 16 rows of a head's matrix with up to 64 rows of x (PTX mma.m16n8k16; the matrix is A). Both are
// read straight from device memory, 8 elements a lane: which element of k goes where in a fragment is free as long as A
// and B agree.
#include "kernels/cuda/latent.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kOutputs = kWarps * 16;  // of a thread block

__device__ __forceinline__ uint4 load16(const Bf16* p) { return *reinterpret_cast<const uint4*>(p); }

// Asks for `bytes` bytes to be brought into L2, a warp together.
__device__ __forceinline__ void prefetch(const void* from, int bytes, int lane) {
  for (int at = lane * 128; at < bytes; at += 32 * 128) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const char*>(from) + at));
  }
}

// Rotates the rows [first, end) of one head.
__device__ __forceinline__ void rotate_rows(const HeadProducts& a, int head, int first, int end) {
  const int pairs = a.rotation.dim / 2;
  for (int i = static_cast<int>(threadIdx.x); i < (end - first) * pairs; i += kThreads) {
    const int row = first + i / pairs;
    const int pair = i % pairs;
    const int position = a.positions != nullptr ? a.positions[row] : a.lengths[row] - 1;
    if (position < 0) { continue; }
    const float2 turn = a.rotation.table[static_cast<std::int64_t>(position) * pairs + pair];
    const int low = a.rotation.interleaved ? 2 * pair : pair;
    const int high = a.rotation.interleaved ? 2 * pair + 1 : pair + pairs;
    const Bf16* from = a.x + row * a.x_row + head * a.x_head + a.k;
    Bf16* to = a.y + row * a.y_row + head * a.y_head + a.n;
    const float x = __bfloat162float(from[low]);
    const float y = __bfloat162float(from[high]);
    to[low] = __float2bfloat16_rn(x * turn.x - y * turn.y);
    to[high] = __float2bfloat16_rn(y * turn.x + x * turn.y);
  }
}

// Thread block (outputs, head, rows of x, 8 * kTiles of them); behind the last outputs, what is rotated.
template <int kTiles>
__global__ void __launch_bounds__(kThreads) head_products_kernel(const HeadProducts a) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(blockIdx.y);
  const int first_row = static_cast<int>(blockIdx.z) * 8 * kTiles;
  const int output = static_cast<int>(blockIdx.x) * kOutputs + static_cast<int>(threadIdx.x) / 32 * 16;
  allow_successor();
  if (output < a.n) {  // weights are never written: they need not be waited for
    prefetch(a.w + (static_cast<std::int64_t>(head) * a.n + output) * a.k, 16 * a.k * 2, lane);
  }
  wait_for_predecessors();
  if (static_cast<int>(blockIdx.x) * kOutputs >= a.n) {
    return rotate_rows(a, head, first_row, min(first_row + 8 * kTiles, a.rows));
  }
  if (output >= a.n) { return; }
  const int g = lane / 4;
  const int t = lane % 4;
  const Bf16* w = a.w + (static_cast<std::int64_t>(head) * a.n + output + g) * a.k + t * 8;
  const Bf16* x[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    x[i] = a.x + min(first_row + i * 8 + g, a.rows - 1) * a.x_row + head * a.x_head + t * 8;
  }
  float sums[kTiles][4] = {};
#pragma unroll(kTiles > 4 ? 2 : 4)
  for (int k = 0; k < a.k; k += 32) {
    const uint4 upper = load16(w + k);
    const uint4 lower = load16(w + 8 * static_cast<std::int64_t>(a.k) + k);
    const std::uint32_t even[4] = {upper.x, lower.x, upper.y, lower.y};
    const std::uint32_t odd[4] = {upper.z, lower.z, upper.w, lower.w};
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const uint4 b = load16(x[i] + k);
      multiply(sums[i], even, b.x, b.y);
      multiply(sums[i], odd, b.z, b.w);
    }
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = first_row + i * 8 + t * 2 + j % 2;
      if (row >= a.rows) { continue; }
      a.y[row * a.y_row + head * a.y_head + output + g + j / 2 * 8] = __float2bfloat16_rn(sums[i][j]);
    }
  }
}

// Any shape: thread block (outputs, head, row), a thread an output.
__global__ void __launch_bounds__(kThreads) plain_products_kernel(const HeadProducts a) {
  const int head = static_cast<int>(blockIdx.y);
  const int row = static_cast<int>(blockIdx.z);
  allow_successor();
  wait_for_predecessors();
  if (static_cast<int>(blockIdx.x) * kThreads >= a.n) { return rotate_rows(a, head, row, row + 1); }
  const int output = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (output >= a.n) { return; }
  const Bf16* w = a.w + (static_cast<std::int64_t>(head) * a.n + output) * a.k;
  const Bf16* x = a.x + row * a.x_row + head * a.x_head;
  float sum = 0.0F;
  for (int k = 0; k < a.k; ++k) { sum = fmaf(__bfloat162float(w[k]), __bfloat162float(x[k]), sum); }
  a.y[row * a.y_row + head * a.y_head + output] = __float2bfloat16_rn(sum);
}

bool on_16_bytes(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }

template <int kTiles>
cudaError_t launch(const HeadProducts& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(a.n, kOutputs) + (a.rotation.dim > 0 ? 1 : 0)),
                  static_cast<unsigned>(a.heads), static_cast<unsigned>(ceil_div(a.rows, 8 * kTiles)));
  return launch_early(head_products_kernel<kTiles>, grid, kThreads, 0, stream, a);
}

}  // namespace

cudaError_t head_products(const HeadProducts& args, cudaStream_t stream) {
  const bool rotates = args.rotation.dim > 0;
  const bool pointers =
      args.w && args.x && args.y && (!rotates || (args.rotation.table && (args.positions || args.lengths)));
  const bool sizes = args.rows >= 0 && args.rows <= 65535 && args.heads > 0 && args.heads <= 65535 && args.n > 0 &&
                     args.k > 0 && args.rotation.dim % 2 == 0;
  if (!pointers || !sizes) { return cudaErrorInvalidValue; }
  if (args.rows == 0) { return cudaSuccess; }
  const bool quick = args.k % 32 == 0 && args.n % 16 == 0 && args.x_row % 8 == 0 && args.x_head % 8 == 0 &&
                     on_16_bytes(args.w) && on_16_bytes(args.x);
  if (!quick) {
    const dim3 grid(static_cast<unsigned>(ceil_div(args.n, kThreads) + (rotates ? 1 : 0)),
                    static_cast<unsigned>(args.heads), static_cast<unsigned>(args.rows));
    return launch_early(plain_products_kernel, grid, kThreads, 0, stream, args);
  }
  if (args.rows <= 8) { return launch<1>(args, stream); }
  if (args.rows <= 16) { return launch<2>(args, stream); }
  if (args.rows <= 32) { return launch<4>(args, stream); }
  return launch<8>(args, stream);
}

}  // namespace vortex::cuda
