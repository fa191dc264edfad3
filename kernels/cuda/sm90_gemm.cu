#include "kernels/cuda/gemm.h"
#include "kernels/cuda/sm90_wgmma.cuh"
#include "kernels/cuda/tensor_map.cuh"

namespace vortex::cuda {
namespace {

constexpr int kDepth = kMapColumns;  // of k, a stage
constexpr int kOutputs = 64;         // of a warpgroup
constexpr int kGroupThreads = 128;
constexpr std::size_t kAlignment = 1024;  // of a swizzled tile

// Two blocks of the smaller kind fit a multiprocessor, so that one can fetch its first weights while the one before
// works.
constexpr std::size_t ring_budget(int groups) { return static_cast<std::size_t>(groups <= 2 ? 108 : 216) * 1024; }

template <int kGroups, int kRows>
struct Stage {
  Bf16 w[kGroups][kOutputs][kDepth];
  Bf16 x[kRows][kDepth];
};

// The sums of a block, [row][output], while the blocks of a cluster add them up. Padded against bank conflicts.
template <int kGroups, int kRows>
struct Sums {
  float values[kRows][kGroups * kOutputs + 4];
};

template <int kGroups, int kRows>
struct Shared {
  using StageT = Stage<kGroups, kRows>;
  static constexpr int kStages = static_cast<int>(ring_budget(kGroups) / sizeof(StageT));
  static constexpr std::size_t kRing = kStages * sizeof(StageT);
  static_assert(kStages >= 3 && sizeof(Sums<kGroups, kRows>) <= kRing);
  union {
    StageT stages[kStages];
    Sums<kGroups, kRows> sums;
  };
  std::uint64_t full[kStages];
  std::uint64_t empty[kStages];
};

__device__ __forceinline__ float4 load4_from_rank(const float* p, unsigned rank) {
  std::uint32_t remote;
  float4 v;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(shared_address(p)), "r"(rank));
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(remote)
               : "memory");
  return v;
}

__device__ __forceinline__ uint2 pack4(const float4& v) {
  const __nv_bfloat162 low = __floats2bfloat162_rn(v.x, v.y);
  const __nv_bfloat162 high = __floats2bfloat162_rn(v.z, v.w);
  return make_uint2(*reinterpret_cast<const std::uint32_t*>(&low), *reinterpret_cast<const std::uint32_t*>(&high));
}

__device__ __forceinline__ float gated(float gate, float up) {
  return silu(__bfloat162float(__float2bfloat16_rn(gate))) * __bfloat162float(__float2bfloat16_rn(up));
}

// The last warp fetches, the warpgroups before it multiply.
template <int kGroups, int kRows>
class Block {
 public:
  static constexpr int kThreads = kGroups * kGroupThreads + 32;
  using SharedT = Shared<kGroups, kRows>;

  __device__ __forceinline__ Block(const SkinnyGemm& a, SharedT& shared)
      : a_(a), shared_(shared), tile_(static_cast<int>(blockIdx.x / cluster_size())) {
    const int steps = a.k / kDepth;
    const auto ranks = static_cast<int>(cluster_size());
    const auto rank = static_cast<int>(cluster_rank());
    first_step_ = steps * rank / ranks;
    steps_ = steps * (rank + 1) / ranks - first_step_;
  }

  __device__ __forceinline__ void run(const CUtensorMap* w, const CUtensorMap* x) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < SharedT::kStages; ++i) {
        barrier_init(shared_.full + i, 1);
        barrier_init(shared_.empty + i, kGroups * kGroupThreads / 32);
      }
      barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x / kGroupThreads == kGroups) {
      if (threadIdx.x % 32 == 0) { fetch(w, x); }
      __syncwarp();
    } else {
      multiply_all();
    }
    __syncthreads();  // everybody has read the stages
    if (threadIdx.x / kGroupThreads < kGroups) { keep_sums(); }
    cluster_barrier();
    switch (cluster_size()) {
      case 1:
        write<1>();
        break;
      case 2:
        write<2>();
        break;
      case 4:
        write<4>();
        break;
      default:
        write<8>();
        break;
    }
    cluster_barrier();  // a block must not leave while others read its sums
  }

 private:
  static constexpr int kStages = SharedT::kStages;
  static constexpr int kLastRows = kRows % 64 == 0 ? 64 : kRows % 64;  // of the last multiplication of a step

  static __device__ __forceinline__ int group() { return static_cast<int>(threadIdx.x) / kGroupThreads; }

  // The first of the 64 rows of w that warpgroup g multiplies.
  __device__ __forceinline__ int first_output(int g) const {
    if (!a_.swiglu) { return (tile_ * kGroups + g) * kOutputs; }
    constexpr int kHalf = kGroups / 2;
    return g < kHalf ? (tile_ * kHalf + g) * kOutputs : a_.n / 2 + (tile_ * kHalf + g - kHalf) * kOutputs;
  }

  __device__ __forceinline__ void fetch_weights(const CUtensorMap* map, int step, std::uint64_t policy) {
    const int slot = step % kStages;
    barrier_expect(shared_.full + slot, sizeof(Stage<kGroups, kRows>));
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      tensor_load(shared_.stages[slot].w[g], map, (first_step_ + step) * kDepth, first_output(g), shared_.full + slot,
                  policy);
    }
  }
  __device__ __forceinline__ void fetch_inputs(const CUtensorMap* map, int step, std::uint64_t policy) {
    const int slot = step % kStages;
    tensor_load(shared_.stages[slot].x, map, (first_step_ + step) * kDepth, 0, shared_.full + slot, policy);
  }

  // One thread. Weights are never written: they may come before the kernels that make x are done.
  __device__ __forceinline__ void fetch(const CUtensorMap* w, const CUtensorMap* x) {
    const std::uint64_t once = evict_first_policy();
    const std::uint64_t again = evict_last_policy();
    const int early = min(kStages, steps_);
    for (int i = 0; i < early; ++i) { fetch_weights(w, i, once); }
    wait_for_predecessors();
    for (int i = 0; i < early; ++i) { fetch_inputs(x, i, again); }
    for (int i = early; i < steps_; ++i) {
      barrier_wait(shared_.empty + i % kStages, static_cast<unsigned>(i / kStages - 1) & 1U);
      fetch_weights(w, i, once);
      fetch_inputs(x, i, again);
    }
  }

  __device__ __forceinline__ void multiply_all() {
    for (int i = 0; i < steps_; ++i) {
      const int slot = i % kStages;
      barrier_wait(shared_.full + slot, static_cast<unsigned>(i / kStages) & 1U);
      begin_multiplying();
      const std::uint64_t w = describe_tile(shared_.stages[slot].w[group()]);
      const std::uint64_t x = describe_tile(shared_.stages[slot].x);
#pragma unroll
      for (int s = 0; s < kDepth / 16; ++s) {
#pragma unroll
        for (int r = 0; r < kRows; r += 64) {  // 64 rows are 8 KiB
          const std::uint64_t columns = s * kNextColumns16;
          const std::uint64_t rows = static_cast<std::uint64_t>(r) * kDepth * sizeof(Bf16) / 16;
          if (r + 64 <= kRows) {
            multiply_group(sum_ + r / 8, w + columns, x + rows + columns, Columns<64>());
          } else {
            multiply_group(sum_ + r / 8, w + columns, x + rows + columns, Columns<kLastRows>());
          }
        }
      }
      commit_multiplying();
      finish_multiplying();
      if (threadIdx.x % 32 == 0) { barrier_arrive(shared_.empty + slot); }
    }
  }

  __device__ __forceinline__ void keep_sums() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
    for (int r = 0; r < kRows / 8; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        shared_.sums.values[r * 8 + lane % 4 * 2 + i % 2][warp * 16 + lane / 4 + i / 2 * 8] = sum_[r][i];
      }
    }
  }

  // Four outputs of a row over the cluster's blocks, added in rank order.
  template <int kSplit>
  __device__ __forceinline__ float4 total(int row, int output) const {
    float4 parts[kSplit];
#pragma unroll
    for (unsigned rank = 0; rank < kSplit; ++rank) {
      parts[rank] = load4_from_rank(&shared_.sums.values[row][output], rank);
    }
#pragma unroll
    for (int rank = 1; rank < kSplit; ++rank) {
      parts[0].x += parts[rank].x;
      parts[0].y += parts[rank].y;
      parts[0].z += parts[rank].z;
      parts[0].w += parts[rank].w;
    }
    return parts[0];
  }

  // Each block of the cluster writes its share.
  template <int kSplit>
  __device__ __forceinline__ void write() {
    const int columns = a_.swiglu ? kGroups * kOutputs / 2 : kGroups * kOutputs;
    const int quads = columns / 4;
    const int count = min(kRows, a_.rows) * quads;
    for (int i = static_cast<int>(cluster_rank()) * kThreads + static_cast<int>(threadIdx.x); i < count;
         i += kSplit * kThreads) {
      const int row = i / quads;
      const int output = i % quads * 4;
      float4 v = total<kSplit>(row, output);
      if (a_.swiglu) {
        const float4 up = total<kSplit>(row, output + columns);
        v = make_float4(gated(v.x, up.x), gated(v.y, up.y), gated(v.z, up.z), gated(v.w, up.w));
      }
      const std::int64_t at = static_cast<std::int64_t>(row) * a_.stride + tile_ * columns + output;
      if (a_.fp32) {
        *reinterpret_cast<float4*>(static_cast<float*>(a_.y) + at) = v;
      } else {
        *reinterpret_cast<uint2*>(static_cast<Bf16*>(a_.y) + at) = pack4(v);
      }
    }
  }

  const SkinnyGemm& a_;
  SharedT& shared_;
  int tile_;
  int first_step_ = 0;
  int steps_ = 0;
  float sum_[kRows / 8][4] = {};
};

template <int kGroups, int kRows>
__global__ void __launch_bounds__(Block<kGroups, kRows>::kThreads)
    skinny_gemm_kernel(const __grid_constant__ CUtensorMap w, const __grid_constant__ CUtensorMap x,
                       const SkinnyGemm a) {
  extern __shared__ unsigned char storage[];
  allow_successor();
  const std::uint32_t misaligned = shared_address(storage) % kAlignment;
  unsigned char* aligned = storage + (misaligned == 0 ? 0 : kAlignment - misaligned);
  Block<kGroups, kRows>(a, *reinterpret_cast<Shared<kGroups, kRows>*>(aligned)).run(&w, &x);
}

template <int kGroups, int kRows>
cudaError_t launch(const SkinnyGemm& a, int split, cudaStream_t stream) {
  const auto kernel = skinny_gemm_kernel<kGroups, kRows>;
  constexpr std::size_t kBytes = sizeof(Shared<kGroups, kRows>) + kAlignment;
  CUtensorMap w;
  CUtensorMap x;
  cudaError_t error = map_matrix(&w, a.w, false, a.n, a.k, kOutputs);
  if (error == cudaSuccess) { error = map_matrix(&x, a.x, false, a.rows, a.k, kRows); }
  if (error == cudaSuccess) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kBytes));
  }
  if (error != cudaSuccess) { return error; }
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(split), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;  // as launch_early()
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(a.n / (kOutputs * kGroups) * split));
  config.blockDim = dim3(Block<kGroups, kRows>::kThreads);
  config.dynamicSmemBytes = kBytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, w, x, a);
}

template <int kGroups>
cudaError_t launch_rows(const SkinnyGemm& a, int split, cudaStream_t stream) {
  if (a.rows <= 8) { return launch<kGroups, 8>(a, split, stream); }  // more of the weights on their way
  if (a.rows <= 32) { return launch<kGroups, 32>(a, split, stream); }
  if (a.rows <= 64) { return launch<kGroups, 64>(a, split, stream); }
  if (a.rows <= 96) { return launch<kGroups, 96>(a, split, stream); }
  return launch<kGroups, 128>(a, split, stream);
}

}  // namespace

bool skinny_gemm_supports(const SkinnyGemm& args, const SkinnySchedule& schedule) {
  const bool groups = (schedule.groups == 1 && !args.swiglu) || schedule.groups == 2 || schedule.groups == 4;
  const bool split = schedule.split == 1 || schedule.split == 2 || schedule.split == 4 || schedule.split == 8;
  return groups && split && args.rows >= 1 && args.rows <= kMaxSkinnyRows && args.k > 0 && args.k % kDepth == 0 &&
         args.k / kDepth >= schedule.split && args.n > 0 && args.n % (kOutputs * schedule.groups) == 0 &&
         args.stride >= (args.swiglu ? args.n / 2 : args.n) && args.stride % 4 == 0 && !(args.swiglu && args.fp32);
}

cudaError_t skinny_gemm(const SkinnyGemm& args, const SkinnySchedule& schedule, cudaStream_t stream) {
  if (!args.w || !args.x || !args.y) { return cudaErrorInvalidValue; }
  if (!skinny_gemm_supports(args, schedule)) { return cudaErrorNotSupported; }
  switch (schedule.groups) {
    case 1:
      return launch_rows<1>(args, schedule.split, stream);
    case 2:
      return launch_rows<2>(args, schedule.split, stream);
    default:
      return launch_rows<4>(args, schedule.split, stream);
  }
}

}  // namespace vortex::cuda
