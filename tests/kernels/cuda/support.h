// Shared by the CUDA kernel tests: the device check, random data, element encodings, and a paged KV pool whose unused
// parts are poisoned.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/device_array.h"
#include "kernels/cuda/types.h"

namespace vortex::cuda {

// Query heads a kv head that every kernel is tested with: powers of two, the odd and uneven ones of published models
// (3: SmolLM2, 6: MiniMax, 7: Qwen2.5), and more than one thread block takes.
inline constexpr int kGroups[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 16, 20};
inline constexpr KvType kTypes[] = {KvType::bf16, KvType::fp8_e4m3, KvType::fp8_e5m2, KvType::fp32};

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) { GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(error); }
    int major = 0;
    ASSERT_EQ(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
    if (major < 9) { GTEST_SKIP() << "needs compute capability 9.0, the device has " << major << ".x"; }
  }
};

inline void finish() { ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess); }

using Random = std::mt19937_64;

inline float normal(Random& random, float scale = 1.0F) { return std::normal_distribution<float>(0.0F, scale)(random); }

inline std::vector<Bf16> random_bf16(std::size_t n, Random& random, float scale = 1.0F) {
  std::vector<Bf16> x(n);
  for (Bf16& v : x) { v = __float2bfloat16(normal(random, scale)); }
  return x;
}

inline double value(Bf16 x) { return static_cast<double>(__bfloat162float(x)); }

// One stored KV element: how it is written and what it means.
inline std::uint32_t encode(float x, KvType type) {
  if (type == KvType::fp32) { return std::bit_cast<std::uint32_t>(x); }
  if (type == KvType::bf16) { return __bfloat16_as_ushort(__float2bfloat16(x)); }
  return __nv_cvt_float_to_fp8(x, __NV_SATFINITE, type == KvType::fp8_e4m3 ? __NV_E4M3 : __NV_E5M2);
}
inline float decode(std::uint32_t bits, KvType type) {
  if (type == KvType::fp32) { return std::bit_cast<float>(bits); }
  if (type == KvType::bf16) { return __bfloat162float(__ushort_as_bfloat16(static_cast<std::uint16_t>(bits))); }
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(bits),
                                                     type == KvType::fp8_e4m3 ? __NV_E4M3 : __NV_E5M2)));
}

// A pool on the host, one uint32 an element; everything starts as NaN.
struct HostPool {
  KvType type;
  int pages, heads, block, dim;
  std::vector<std::uint32_t> k, v;

  HostPool(KvType t, int num_pages, int num_heads, int block_size, int head_dim)
      : type(t), pages(num_pages), heads(num_heads), block(block_size), dim(head_dim) {
    k.assign(static_cast<std::size_t>(pages) * static_cast<std::size_t>(heads * block * dim), nan_bits());
    v = k;
  }
  std::uint32_t nan_bits() const { return type == KvType::fp32 ? 0x7fc00000 : type == KvType::bf16 ? 0x7fc0 : 0x7f; }
  std::size_t at(int page, int head, int slot, int d) const {
    return ((static_cast<std::size_t>(page) * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head)) *
                static_cast<std::size_t>(block) +
            static_cast<std::size_t>(slot)) *
               static_cast<std::size_t>(dim) +
           static_cast<std::size_t>(d);
  }
  std::vector<std::uint8_t> bytes(const std::vector<std::uint32_t>& x) const {
    const auto size = static_cast<std::size_t>(kv_type_size(type));
    std::vector<std::uint8_t> out(x.size() * size);
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t b = 0; b < size; ++b) { out[i * size + b] = static_cast<std::uint8_t>(x[i] >> (8 * b)); }
    }
    return out;
  }
};

inline constexpr std::int32_t kGarbage = 0x7fffffff;  // in table slots that nothing may read

// Requests of the given lengths on shuffled pages.
struct HostTable {
  std::vector<std::int32_t> pages, lengths;
  int max_blocks, num_pages;

  HostTable(std::vector<std::int32_t> request_lengths, int block, Random& random, int spare_slots = 3)
      : lengths(std::move(request_lengths)), max_blocks(spare_slots), num_pages(1) {
    for (const int length : lengths) {
      max_blocks = std::max(max_blocks, (length + block - 1) / block + spare_slots);
      num_pages += (length + block - 1) / block;
    }
    std::vector<std::int32_t> free(static_cast<std::size_t>(num_pages));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), random);
    pages.assign(lengths.size() * static_cast<std::size_t>(max_blocks), kGarbage);
    std::size_t next = 0;
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      for (int i = 0; i < (lengths[b] + block - 1) / block; ++i) { slot(b, i) = free[next++]; }
    }
  }
  std::int32_t& slot(std::size_t request, int i) {
    return pages[request * static_cast<std::size_t>(max_blocks) + static_cast<std::size_t>(i)];
  }
  std::int32_t slot(std::size_t request, int i) const {
    return pages[request * static_cast<std::size_t>(max_blocks) + static_cast<std::size_t>(i)];
  }
};

// Random keys and values for every token that exists.
inline void fill_tokens(HostPool& pool, const HostTable& table, Random& random) {
  for (std::size_t b = 0; b < table.lengths.size(); ++b) {
    for (int t = 0; t < table.lengths[b]; ++t) {
      for (int h = 0; h < pool.heads; ++h) {
        for (int d = 0; d < pool.dim; ++d) {
          const std::size_t i = pool.at(table.slot(b, t / pool.block), h, t % pool.block, d);
          pool.k[i] = encode(normal(random), pool.type);
          pool.v[i] = encode(normal(random), pool.type);
        }
      }
    }
  }
}

// ||x - reference|| / ||reference||; NaN wherever x has one.
inline double relative_error(const std::vector<double>& x, const std::vector<double>& reference) {
  double difference = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - reference[i]) * (x[i] - reference[i]);
    norm += reference[i] * reference[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-30));
}

inline std::vector<double> values(const std::vector<Bf16>& x) {
  std::vector<double> out(x.size());
  std::transform(x.begin(), x.end(), out.begin(), [](Bf16 v) { return value(v); });
  return out;
}

}  // namespace vortex::cuda
