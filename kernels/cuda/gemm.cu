#include "kernels/cuda/gemm.h"
#include "kernels/cuda/mma.cuh"

namespace vortex::cuda {
namespace {

constexpr int kDepth = 64;  // of k, a stage
constexpr int kStages = 4;
constexpr int kMaxWarps = 8;
constexpr int kMaxRows = 128;

__device__ __forceinline__ void copy_async(void* shared, const void* global, std::uint64_t policy) {
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(global), "l"(policy)
               : "memory");
}
__device__ __forceinline__ void copy_async(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

template <int kOutputs, int kRows>
struct Stage {
  SwizzledTile<kOutputs, kDepth> w;
  SwizzledTile<kRows, kDepth> x;
};

// The sums of a block, [row][output], while the blocks of a cluster add them up. Padded against bank conflicts.
template <int kOutputs, int kRows>
struct Sums {
  float values[kRows][kOutputs + 4];
};

template <int kWarps, int kRows>
class Block {
 public:
  static constexpr int kOutputs = 16 * kWarps;
  static constexpr int kThreads = 32 * kWarps;
  using StageT = Stage<kOutputs, kRows>;
  using SumsT = Sums<kOutputs, kRows>;
  static constexpr std::size_t kRing = kStages * sizeof(StageT);
  static constexpr std::size_t kBytes = kRing > sizeof(SumsT) ? kRing : sizeof(SumsT);

  __device__ __forceinline__ Block(const SkinnyGemm& a, unsigned char* storage)
      : a_(a),
        stages_(reinterpret_cast<StageT*>(storage)),
        sums_(*reinterpret_cast<SumsT*>(storage)),
        first_output_(static_cast<int>(blockIdx.x / cluster_size()) * kOutputs),
        policy_(evict_first_policy()) {
    const int steps = a.k / kDepth;
    const auto ranks = static_cast<int>(cluster_size());
    const auto rank = static_cast<int>(cluster_rank());
    first_step_ = steps * rank / ranks;
    steps_ = steps * (rank + 1) / ranks - first_step_;
  }

  __device__ __forceinline__ void run() {
    // Weights are never written: they may come before the kernels that make x are done.
    for (int i = 0; i < kStages - 1 && i < steps_; ++i) load_weights(i);
    wait_for_predecessors();
    for (int i = 0; i < kStages - 1; ++i) {
      if (i < steps_) load_inputs(i);
      commit_copies();
    }
    for (int i = 0; i < steps_; ++i) {
      wait_for_copies<kStages - 2>();
      __syncthreads();  // stage i has landed for all; the stage before it is free
      if (i + kStages - 1 < steps_) {
        load_weights(i + kStages - 1);
        load_inputs(i + kStages - 1);
      }
      commit_copies();
      multiply_stage(stages_[i % kStages]);
    }
    wait_for_copies<0>();
    __syncthreads();
    keep_sums();
    cluster_barrier();
    write();
    cluster_barrier();  // a block must not leave while others read its sums
  }

 private:
  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % 32; }
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / 32; }

  __device__ __forceinline__ void load_weights(int step) {
    StageT& stage = stages_[step % kStages];
    const Bf16* from = a_.w + static_cast<std::int64_t>(first_output_) * a_.k + (first_step_ + step) * kDepth;
#pragma unroll
    for (int i = 0; i < kOutputs * kDepth / 8 / kThreads; ++i) {
      const int index = i * kThreads + static_cast<int>(threadIdx.x);
      const int row = index / (kDepth / 8);
      const int word = index % (kDepth / 8);
      copy_async(stage.w.at(row, word), from + static_cast<std::int64_t>(row) * a_.k + word * 8, policy_);
    }
  }

  __device__ __forceinline__ void load_inputs(int step) {
    StageT& stage = stages_[step % kStages];
    const Bf16* from = a_.x + (first_step_ + step) * kDepth;
#pragma unroll
    for (int i = 0; i < ceil_div(kRows * kDepth / 8, kThreads); ++i) {
      const int index = i * kThreads + static_cast<int>(threadIdx.x);
      if (kRows * kDepth / 8 % kThreads != 0 && index >= kRows * kDepth / 8) break;
      const int row = index / (kDepth / 8);
      const int word = index % (kDepth / 8);
      copy_async(stage.x.at(row, word), from + static_cast<std::int64_t>(row) * a_.k + word * 8);
    }
  }

  // The warp's 16 outputs are the rows of the first operand, the rows of x the columns of the second.
  __device__ __forceinline__ void multiply_stage(StageT& stage) {
#pragma unroll
    for (int s = 0; s < kDepth / 16; ++s) {
      std::uint32_t w[4];
      load_matrices(w, stage.w.at(warp() * 16 + lane() % 16, s * 2 + lane() / 16));
#pragma unroll
      for (int r = 0; r < kRows / 16; ++r) {
        std::uint32_t x[4];
        load_matrices(x, stage.x.at(r * 16 + lane() / 16 * 8 + lane() % 8, s * 2 + lane() / 8 % 2));
        multiply(sum_[2 * r], w, x[0], x[1]);
        multiply(sum_[2 * r + 1], w, x[2], x[3]);
      }
    }
  }

  __device__ __forceinline__ void keep_sums() {
#pragma unroll
    for (int r = 0; r < kRows / 8; ++r) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums_.values[r * 8 + lane() % 4 * 2 + i % 2][warp() * 16 + lane() / 4 + i / 2 * 8] = sum_[r][i];
      }
    }
  }

  // Adds the sums of the cluster's blocks in rank order; each block writes its share, two outputs a thread at a time.
  __device__ __forceinline__ void write() {
    const auto ranks = static_cast<int>(cluster_size());
    const int rows = min(kRows, a_.rows);
    for (int i = static_cast<int>(cluster_rank()) * kThreads + static_cast<int>(threadIdx.x); i < rows * kOutputs / 2;
         i += ranks * kThreads) {
      const int row = i / (kOutputs / 2);
      const int output = i % (kOutputs / 2) * 2;
      const float* from = &sums_.values[row][output];
      float low = 0.0F;
      float high = 0.0F;
      for (int rank = 0; rank < ranks; ++rank) {
        low += load_from_rank(from, static_cast<unsigned>(rank));
        high += load_from_rank(from + 1, static_cast<unsigned>(rank));
      }
      const std::int64_t at = static_cast<std::int64_t>(row) * a_.stride + first_output_ + output;
      if (a_.fp32) {
        *reinterpret_cast<float2*>(static_cast<float*>(a_.y) + at) = make_float2(low, high);
      } else {
        *reinterpret_cast<std::uint32_t*>(static_cast<Bf16*>(a_.y) + at) = pack(low, high);
      }
    }
  }

  const SkinnyGemm& a_;
  StageT* stages_;
  SumsT& sums_;
  int first_output_;
  std::uint64_t policy_;
  int first_step_ = 0;
  int steps_ = 0;
  float sum_[kRows / 8][4] = {};
};

template <int kWarps, int kRows>
__global__ void __launch_bounds__(kWarps * 32) skinny_gemm_kernel(const SkinnyGemm a) {
  extern __shared__ __align__(128) unsigned char storage[];
  allow_successor();
  Block<kWarps, kRows>(a, storage).run();
}

template <int kWarps, int kRows>
cudaError_t launch(const SkinnyGemm& a, int split, cudaStream_t stream) {
  const auto kernel = skinny_gemm_kernel<kWarps, kRows>;
  constexpr std::size_t kBytes = Block<kWarps, kRows>::kBytes;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(kBytes));
  if (error != cudaSuccess) return error;
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {static_cast<unsigned>(split), 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;  // as launch_early()
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(a.n / (16 * kWarps) * split));
  config.blockDim = dim3(kWarps * 32);
  config.dynamicSmemBytes = kBytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, a);
}

template <int kWarps>
cudaError_t launch_rows(const SkinnyGemm& a, int split, cudaStream_t stream) {
  if (a.rows <= 16) return launch<kWarps, 16>(a, split, stream);
  if (a.rows <= 32) return launch<kWarps, 32>(a, split, stream);
  if (a.rows <= 64) return launch<kWarps, 64>(a, split, stream);
  return launch<kWarps, 128>(a, split, stream);
}

}  // namespace

bool skinny_gemm_supports(const SkinnyGemm& args, const SkinnySchedule& schedule) {
  const bool warps = schedule.warps == 4 || schedule.warps == 6 || schedule.warps == kMaxWarps;
  const bool split = schedule.split == 1 || schedule.split == 2 || schedule.split == 4 || schedule.split == 8;
  return warps && split && args.rows >= 1 && args.rows <= kMaxRows && args.k > 0 && args.k % kDepth == 0 &&
         args.k / kDepth >= schedule.split && args.n > 0 && args.n % (16 * schedule.warps) == 0 &&
         args.stride >= args.n && args.stride % 2 == 0;
}

cudaError_t skinny_gemm(const SkinnyGemm& args, const SkinnySchedule& schedule, cudaStream_t stream) {
  if (!args.w || !args.x || !args.y) return cudaErrorInvalidValue;
  if (!skinny_gemm_supports(args, schedule)) return cudaErrorNotSupported;
  switch (schedule.warps) {
    case 4:
      return launch_rows<4>(args, schedule.split, stream);
    case 6:
      return launch_rows<6>(args, schedule.split, stream);
    default:
      return launch_rows<8>(args, schedule.split, stream);
  }
}

}  // namespace vortex::cuda
