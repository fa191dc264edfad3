// A warp multiplies 16 rows of a head's matrix with up to 64 rows of x (PTX mma.m16n8k16; the matrix is A). Rows of x
// are read straight from device memory, 8 elements a lane, and so is the matrix, where many rows share what it costs:
// which element of k goes where in a fragment is free as long as A and B agree.
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

// sums += of 16 rows of w, which lie k elements apart, and rows x[i], over elements [first, end).
template <int kTiles, int kUnroll>
__device__ __forceinline__ void multiply_steps(float (&sums)[kTiles][4], const Bf16* w, int k,
                                               const Bf16* const (&x)[kTiles], int first, int end) {
#pragma unroll(kUnroll)
  for (int at = first; at < end; at += 32) {
    const uint4 upper = load16(w + at);
    const uint4 lower = load16(w + 8 * static_cast<std::int64_t>(k) + at);
    const std::uint32_t even[4] = {upper.x, lower.x, upper.y, lower.y};
    const std::uint32_t odd[4] = {upper.z, lower.z, upper.w, lower.w};
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const uint4 b = load16(x[i] + at);
      multiply(sums[i], even, b.x, b.y);
      multiply(sums[i], odd, b.z, b.w);
    }
  }
}

// k is summed in two halves, which are added: warps may share it without another order of sums.
__device__ __forceinline__ int first_half(int k) { return (k / 32 + 1) / 2 * 32; }

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
  float first[kTiles][4] = {};
  float second[kTiles][4] = {};
  multiply_steps<kTiles, (kTiles > 4 ? 2 : 4)>(first, w, a.k, x, 0, first_half(a.k));
  multiply_steps<kTiles, (kTiles > 4 ? 2 : 4)>(second, w, a.k, x, first_half(a.k), a.k);
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = first_row + i * 8 + t * 2 + j % 2;
      if (row >= a.rows) { continue; }
      a.y[row * a.y_row + head * a.y_head + output + g + j / 2 * 8] = __float2bfloat16_rn(first[i][j] + second[i][j]);
    }
  }
}

constexpr int kAheadOutputs = 32;   // of a thread block whose weights come by a bulk copy
constexpr int kMostAheadRows = 32;  // with more, rows of x are what takes time, and larger blocks read them fewer times
constexpr int kMostAheadBytes = 96 * 1024;

int ahead_bytes(const HeadProducts& a) { return kAheadOutputs * a.k * static_cast<int>(sizeof(Bf16)); }

// The same products; the weights of a block, which lie side by side, are asked for all at once before the kernels
// before are done. Two warps share 16 outputs, each half of k.
template <int kTiles>
__global__ void __launch_bounds__(kThreads) ahead_products_kernel(const HeadProducts a) {
  extern __shared__ __align__(128) unsigned char storage[];
  __shared__ std::uint64_t arrived;
  __shared__ float halves[2][kTiles][4][32];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int head = static_cast<int>(blockIdx.y);
  const int first_row = static_cast<int>(blockIdx.z) * 8 * kTiles;
  const int first_output = static_cast<int>(blockIdx.x) * kAheadOutputs;
  const int outputs = min(kAheadOutputs, a.n - first_output);
  allow_successor();
  if (threadIdx.x == 0 && outputs > 0) {
    const auto bytes = static_cast<unsigned>(outputs * a.k) * static_cast<unsigned>(sizeof(Bf16));
    barrier_init(&arrived, 1);
    barrier_init_fence();
    barrier_expect(&arrived, bytes);
    bulk_load(storage, a.w + (static_cast<std::int64_t>(head) * a.n + first_output) * a.k, bytes, &arrived,
              evict_first_policy());
  }
  __syncthreads();
  wait_for_predecessors();
  if (outputs <= 0) { return rotate_rows(a, head, first_row, min(first_row + 8 * kTiles, a.rows)); }
  const int g = lane / 4;
  const int t = lane % 4;
  const int tile = warp % 2;
  const int half = warp / 2;
  const bool active = tile * 16 < outputs;
  const Bf16* w = reinterpret_cast<const Bf16*>(storage) + (tile * 16 + g) * a.k + t * 8;
  const Bf16* x[kTiles];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    x[i] = a.x + min(first_row + i * 8 + g, a.rows - 1) * a.x_row + head * a.x_head + t * 8;
  }
  const int middle = first_half(a.k);
  float sums[kTiles][4] = {};
  barrier_wait(&arrived, 0);
  if (active) {
    multiply_steps<kTiles, (kTiles > 4 ? 1 : 8 / kTiles)>(sums, w, a.k, x, half == 0 ? 0 : middle,
                                                          half == 0 ? middle : a.k);
  }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (half == 1) { halves[tile][i][j][lane] = sums[i][j]; }
    }
  }
  __syncthreads();
  if (half == 1 || !active) { return; }
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int row = first_row + i * 8 + t * 2 + j % 2;
      if (row >= a.rows) { continue; }
      a.y[row * a.y_row + head * a.y_head + first_output + tile * 16 + g + j / 2 * 8] =
          __float2bfloat16_rn(sums[i][j] + halves[tile][i][j][lane]);
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

template <int kTiles>
cudaError_t launch_ahead(const HeadProducts& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(ceil_div(a.n, kAheadOutputs) + (a.rotation.dim > 0 ? 1 : 0)),
                  static_cast<unsigned>(a.heads), static_cast<unsigned>(ceil_div(a.rows, 8 * kTiles)));
  const cudaError_t error =
      cudaFuncSetAttribute(ahead_products_kernel<kTiles>, cudaFuncAttributeMaxDynamicSharedMemorySize, kMostAheadBytes);
  if (error != cudaSuccess) { return error; }
  return launch_early(ahead_products_kernel<kTiles>, grid, kThreads, static_cast<std::size_t>(ahead_bytes(a)), stream,
                      a);
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
  if (args.rows <= kMostAheadRows && ahead_bytes(args) <= kMostAheadBytes) {
    if (args.rows <= 8) { return launch_ahead<1>(args, stream); }
    if (args.rows <= 16) { return launch_ahead<2>(args, stream); }
    return launch_ahead<4>(args, stream);
  }
  if (args.rows <= 8) { return launch<1>(args, stream); }
  if (args.rows <= 16) { return launch<2>(args, stream); }
  if (args.rows <= 32) { return launch<4>(args, stream); }
  return launch<8>(args, stream);
}

}  // namespace vortex::cuda
