// Warpgroup matrix instructions (PTX wgmma, bf16 in, fp32 out; sm_90a) on tiles that the tensor copy engine wrote to
// shared memory, and that engine's load.
#pragma once

#include <cuda.h>

#include "kernels/cuda/sm90_device.cuh"

namespace vortex::cuda {

// Starts loading the box of `map` at (column, row) to shared memory; `barrier` counts its bytes as they land. What lies
// outside the tensor comes as zeros, and counts.
__device__ __forceinline__ void tensor_load(void* shared, const CUtensorMap* map, int column, int row,
                                            std::uint64_t* barrier, std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, "
      "%3}], "
      "[%4], %5;" ::"r"(shared_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "l"(policy)
      : "memory");
}

// The same of a map of whole rows (map_whole_rows): a box that begins with row `row`.
__device__ __forceinline__ void rows_load(void* shared, const CUtensorMap* map, int row, std::uint64_t* barrier,
                                          std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %2, "
      "%3}], [%4], %5;" ::"r"(shared_address(shared)),
      "l"(map), "r"(0), "r"(row), "r"(shared_address(barrier)), "l"(policy)
      : "memory");
}

// Asks for a map that is needed soon, a parameter of the kernel.
__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

__device__ __forceinline__ void barrier_arrive(std::uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

__device__ __forceinline__ std::uint64_t evict_last_policy() {
  std::uint64_t policy;
  asm("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}

// Describes a tile of rows of 64 bf16 (128 bytes), swizzled in 128-byte rows, at a multiple of 1024 bytes: groups of 8
// rows are 1024 bytes apart. Adding kNextColumns16 goes 16 columns on.
__device__ __forceinline__ std::uint64_t describe_tile(const void* tile) {
  constexpr std::uint64_t kSwizzle128 = 1;
  constexpr std::uint64_t kEightRows = 1024 / 16;
  const std::uint64_t address = (shared_address(tile) & 0x3ffffU) / 16;
  return kSwizzle128 << 62 | kEightRows << 32 | std::uint64_t{1} << 16 | address;
}
inline constexpr std::uint64_t kNextColumns16 = 32 / 16;

__device__ __forceinline__ void begin_multiplying() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_multiplying() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void finish_multiplying() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }

template <int kColumns>
struct Columns {};

// c += a b^T for a of 64 rows and b of 8, 32 or 64, both 16 columns wide. Warp w of the group holds rows 16 w to 16 w +
// 15 of c: c[j][i] is row 16 w + lane / 4 + i / 2 * 8, column 8 j + lane % 4 * 2 + i % 2.
__device__ __forceinline__ void multiply_group(float (*c)[4], std::uint64_t a, std::uint64_t b, Columns<8>) {
  asm volatile(
      "{.reg .pred adds; setp.ne.b32 adds, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {%0, %1, %2, %3}, %4, %5, adds, 1, 1, 0, 0;}"
      : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3])
      : "l"(a), "l"(b));
}
__device__ __forceinline__ void multiply_group(float (*c)[4], std::uint64_t a, std::uint64_t b, Columns<32>) {
  asm volatile(
      "{.reg .pred adds; setp.ne.b32 adds, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15"
      "}, %16, %17, adds, 1, 1, 0, 0;}"
      : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]),
        "+f"(c[1][3]), "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]),
        "+f"(c[3][2]), "+f"(c[3][3])
      : "l"(a), "l"(b));
}
__device__ __forceinline__ void multiply_group(float (*c)[4], std::uint64_t a, std::uint64_t b, Columns<64>) {
  asm volatile(
      "{.reg .pred adds; setp.ne.b32 adds, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, "
      "%8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31"
      "}, %32, %33, adds, 1, 1, 0, 0;}"
      : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3]), "+f"(c[1][0]), "+f"(c[1][1]), "+f"(c[1][2]),
        "+f"(c[1][3]), "+f"(c[2][0]), "+f"(c[2][1]), "+f"(c[2][2]), "+f"(c[2][3]), "+f"(c[3][0]), "+f"(c[3][1]),
        "+f"(c[3][2]), "+f"(c[3][3]), "+f"(c[4][0]), "+f"(c[4][1]), "+f"(c[4][2]), "+f"(c[4][3]), "+f"(c[5][0]),
        "+f"(c[5][1]), "+f"(c[5][2]), "+f"(c[5][3]), "+f"(c[6][0]), "+f"(c[6][1]), "+f"(c[6][2]), "+f"(c[6][3]),
        "+f"(c[7][0]), "+f"(c[7][1]), "+f"(c[7][2]), "+f"(c[7][3])
      : "l"(a), "l"(b));
}

}  // namespace vortex::cuda
