#include <algorithm>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/transfer.h"

namespace vortex::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMaxBlocks = 1 << 20;

unsigned grid_for(std::int64_t count) {
  return static_cast<unsigned>(std::min((count + kThreads - 1) / kThreads, kMaxBlocks));
}

__device__ __forceinline__ std::int64_t first_index() {
  return static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}
__device__ __forceinline__ std::int64_t index_step() { return static_cast<std::int64_t>(gridDim.x) * kThreads; }

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(Bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widen(__nv_fp8_e4m3 x) { return static_cast<float>(x); }
__device__ __forceinline__ float widen(__nv_fp8_e5m2 x) { return static_cast<float>(x); }
__device__ __forceinline__ void narrow(float* p, float x) { *p = x; }
__device__ __forceinline__ void narrow(Bf16* p, float x) { *p = __float2bfloat16_rn(x); }
__device__ __forceinline__ void narrow(__nv_fp8_e4m3* p, float x) { *p = __nv_fp8_e4m3(x); }
__device__ __forceinline__ void narrow(__nv_fp8_e5m2* p, float x) { *p = __nv_fp8_e5m2(x); }

template <class T, bool kImport>
__global__ void __launch_bounds__(kThreads) image_kernel(const KvImage a) {
  const std::int64_t per_head = static_cast<std::int64_t>(a.tokens) * a.kv.head_dim;
  const std::int64_t count = (a.kv.v != nullptr ? 2 : 1) * a.kv.num_kv_heads * per_head;
  for (std::int64_t i = first_index(); i < count; i += index_step()) {
    const auto head = static_cast<int>(i / per_head % a.kv.num_kv_heads);
    const bool is_key = i / per_head < a.kv.num_kv_heads;
    const auto token = static_cast<int>(i % per_head / a.kv.head_dim);
    const std::int64_t page = a.pages[token / a.kv.block];
    const std::int64_t row = (page * a.kv.num_kv_heads + head) * a.kv.block + token % a.kv.block;
    T* stored = static_cast<T*>(is_key ? a.kv.k : a.kv.v) + row * a.kv.head_dim + i % a.kv.head_dim;
    const float scale = is_key ? a.kv.k_scale : a.kv.v_scale;
    if constexpr (kImport) {
      narrow(stored, widen(a.data[i]) / scale);
    } else {
      narrow(a.data + i, widen(*stored) * scale);
    }
  }
}

template <bool kImport>
cudaError_t launch_image(const KvImage& a, cudaStream_t stream) {
  if (!a.data || !a.kv.k || !a.pages || a.tokens < 0 || a.kv.block <= 0 || a.kv.head_dim <= 0) {
    return cudaErrorInvalidValue;
  }
  if (a.tokens == 0) { return cudaSuccess; }
  const unsigned grid = grid_for((a.kv.v != nullptr ? 2LL : 1LL) * a.kv.num_kv_heads * a.tokens * a.kv.head_dim);
  switch (a.kv.type) {
    case KvType::bf16:
      image_kernel<Bf16, kImport><<<grid, kThreads, 0, stream>>>(a);
      break;
    case KvType::fp8_e4m3:
      image_kernel<__nv_fp8_e4m3, kImport><<<grid, kThreads, 0, stream>>>(a);
      break;
    case KvType::fp8_e5m2:
      image_kernel<__nv_fp8_e5m2, kImport><<<grid, kThreads, 0, stream>>>(a);
      break;
    case KvType::fp32:
      image_kernel<float, kImport><<<grid, kThreads, 0, stream>>>(a);
      break;
  }
  return cudaGetLastError();
}

__global__ void __launch_bounds__(kThreads) chunk_rows_kernel(const ChunkRows a) {
  const auto row = static_cast<int>(first_index());
  if (row >= a.rows) { return; }
  a.requests[row] = a.request;
  a.positions[row] = a.first + row;
}

// One thread block per (request, tensor).
__global__ void __launch_bounds__(kThreads) zero_pages_kernel(const ZeroPages a) {
  const int request = static_cast<int>(blockIdx.x);
  const PagedBytes tensor = a.tensors[blockIdx.y];
  const int length = a.table.lengths[request];
  const int first = a.first_tokens != nullptr ? a.first_tokens[request] : length - 1;
  for (int block = ceil_div(max(first, 0), a.block); block < ceil_div(length, a.block); ++block) {
    const std::int64_t page = a.table.pages[static_cast<std::int64_t>(request) * a.table.max_blocks + block];
    auto* to = reinterpret_cast<std::uint16_t*>(static_cast<char*>(tensor.data) + page * tensor.page_bytes);
    for (std::int64_t i = threadIdx.x; i < tensor.page_bytes / 2; i += kThreads) { to[i] = 0; }
  }
}

// SplitMix64's mixer (Steele, Lea, Flood 2014).
__device__ __forceinline__ std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A hash gives four values of 16 bits: hashing is what filling a card's memory costs.
constexpr int kValuesPerHash = 4;

__device__ __forceinline__ std::uint64_t hash_of(std::int64_t i, std::uint64_t seed) {
  return mix(seed ^ mix(static_cast<std::uint64_t>(i / kValuesPerHash)));
}

// In (-0.5, 0.5).
__device__ __forceinline__ float uniform_of(std::uint64_t hash, int i) {
  const auto bits = static_cast<std::uint32_t>(hash >> (16 * (i % kValuesPerHash))) & 0xffffU;
  return (static_cast<float>(bits) + 0.5F) * 0x1p-16F - 0.5F;
}

// What one thread stores at once.
template <class T>
struct alignas(16) Pack {
  static constexpr int kValues = 16 / sizeof(T);
  T values[kValues];
};

// Value i depends on i and the seed alone: the first `packs` times a pack's values are stored in packs.
template <class T>
__global__ void __launch_bounds__(kThreads)
    fill_kernel(T* data, std::int64_t count, std::int64_t packs, std::uint64_t seed, float centre, float width) {
  constexpr int kValues = Pack<T>::kValues;
  for (std::int64_t p = first_index(); p < packs; p += index_step()) {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < kValues; i += kValuesPerHash) {
      const std::uint64_t hash = hash_of(p * kValues + i, seed);
#pragma unroll
      for (int j = 0; j < kValuesPerHash; ++j) { narrow(pack.values + i + j, centre + width * uniform_of(hash, j)); }
    }
    reinterpret_cast<Pack<T>*>(data)[p] = pack;
  }
  for (std::int64_t i = packs * kValues + first_index(); i < count; i += index_step()) {
    narrow(data + i, centre + width * uniform_of(hash_of(i, seed), static_cast<int>(i % kValuesPerHash)));
  }
}

template <class T>
void fill(void* data, std::int64_t count, std::uint64_t seed, float centre, float width, cudaStream_t stream) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(data) % sizeof(Pack<T>) == 0;
  const std::int64_t packs = aligned ? count / Pack<T>::kValues : 0;
  fill_kernel<<<grid_for(std::max(packs, count - packs * Pack<T>::kValues)), kThreads, 0, stream>>>(
      static_cast<T*>(data), count, packs, seed, centre, width);
}

template <class T>
__global__ void __launch_bounds__(kThreads) differing_kernel(const T* y, const T* expected, int rows, int expected_rows,
                                                             int width, int stride, std::uint32_t* differing) {
  std::uint32_t mine = 0;
  const std::int64_t count = static_cast<std::int64_t>(rows) * width;
  for (std::int64_t i = first_index(); i < count; i += index_step()) {
    const auto row = static_cast<int>(i / width);
    const std::int64_t column = i % width;
    const T want = expected[static_cast<std::int64_t>(row % expected_rows) * stride + column];
    if (y[static_cast<std::int64_t>(row) * stride + column] != want) { ++mine; }
  }
  if (mine > 0) { atomicAdd(differing, mine); }
}

}  // namespace

cudaError_t import_kv(const KvImage& args, cudaStream_t stream) { return launch_image<true>(args, stream); }
cudaError_t export_kv(const KvImage& args, cudaStream_t stream) { return launch_image<false>(args, stream); }

cudaError_t chunk_rows(const ChunkRows& args, cudaStream_t stream) {
  if (!args.requests || !args.positions || args.rows < 0 || args.first < 0) { return cudaErrorInvalidValue; }
  if (args.rows == 0) { return cudaSuccess; }
  chunk_rows_kernel<<<grid_for(args.rows), kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t zero_pages(const ZeroPages& args, cudaStream_t stream) {
  const bool pointers = args.tensors && args.table.pages && args.table.lengths;
  if (!pointers || args.num_tensors < 0 || args.num_tensors > 65535 || args.num_requests < 0 || args.block <= 0) {
    return cudaErrorInvalidValue;
  }
  if (args.num_tensors == 0 || args.num_requests == 0) { return cudaSuccess; }
  const dim3 grid(static_cast<unsigned>(args.num_requests), static_cast<unsigned>(args.num_tensors));
  zero_pages_kernel<<<grid, kThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t fill_random(void* data, FillType type, std::int64_t count, std::uint64_t seed, float centre,
                        float deviation, cudaStream_t stream) {
  if (data == nullptr || count < 0) { return cudaErrorInvalidValue; }
  if (count == 0) { return cudaSuccess; }
  constexpr float kWidth = 3.4641016F;  // of a uniform distribution of deviation 1
  const float width = kWidth * deviation;
  switch (type) {
    case FillType::bf16:
      fill<Bf16>(data, count, seed, centre, width, stream);
      break;
    case FillType::fp32:
      fill<float>(data, count, seed, centre, width, stream);
      break;
    case FillType::fp8_e4m3:
      fill<__nv_fp8_e4m3>(data, count, seed, centre, width, stream);
      break;
    case FillType::fp8_e5m2:
      fill<__nv_fp8_e5m2>(data, count, seed, centre, width, stream);
      break;
  }
  return cudaGetLastError();
}

cudaError_t count_differing(const void* y, const void* expected, int bytes, int rows, int expected_rows, int width,
                            int stride, std::uint32_t* differing, cudaStream_t stream) {
  if (!y || !expected || !differing || rows <= 0 || expected_rows <= 0 || width <= 0 || stride < width) {
    return cudaErrorInvalidValue;
  }
  const unsigned grid = grid_for(static_cast<std::int64_t>(rows) * width);
  if (bytes == 2) {
    differing_kernel<<<grid, kThreads, 0, stream>>>(static_cast<const std::uint16_t*>(y),
                                                    static_cast<const std::uint16_t*>(expected), rows, expected_rows,
                                                    width, stride, differing);
  } else if (bytes == 4) {
    differing_kernel<<<grid, kThreads, 0, stream>>>(static_cast<const std::uint32_t*>(y),
                                                    static_cast<const std::uint32_t*>(expected), rows, expected_rows,
                                                    width, stride, differing);
  } else {
    return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}

}  // namespace vortex::cuda
