#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/compile/cuda/nvrtc.h"
#include "core/compile/executable.h"
#include "core/vflow/policy.h"
#include "kernels/cuda/types.h"

namespace vortex::compile {

// What one layer keeps per page, on the device: k and v, then the policy's own fields in Program order, each
// [page][kv head][rows][cols] of the field's stored type. `fields` is a host array of device pointers; not owned.
struct CudaLayerCache {
  cuda::KvPool kv;
  void* const* fields = nullptr;
};

// The batch of one decode step: device memory whose addresses stay while contents change, so that a captured graph can
// be replayed. Requests of length 0 are idle and cost nothing.
struct CudaBatch {
  int layer = 0;
  int num_requests = 0;                  // capacity of the batch
  int num_q_heads = 0;                   // all of them: [request][q head][head_dim]
  const cuda::Bf16* q = nullptr;         // after norm and rope
  cuda::PageTable table;                 // lengths count the token of this step
  const std::uint8_t* active = nullptr;  // [request]; 0: waits for a page and appends nothing; null: all are active
  bool completes_blocks = false;         // select() starts with forward_cache for what the newest tokens completed
  // [request], blocks by the policy's rule for these lengths, reserved ones included. Generated kernels compute their
  // own and take null.
  const std::int32_t* budgets = nullptr;
  void* workspace = nullptr;  // workspace_bytes(); contents need not be kept between calls
};

// Where the chosen blocks go: [row][max_selected] logical blocks, ascending, the true last block last; [row] counts.
struct CudaSelection {
  std::int32_t* blocks = nullptr;
  std::int32_t* counts = nullptr;
  int max_selected = 0;
};

// Where select() leaves the scores of the first score list, as the choice saw them: block b of row r is float
// r * row_stride + first + b of the workspace.
struct CudaScores {
  std::int64_t first = 0;
  std::int64_t row_stride = 0;
};

// A policy compiled for one device. Immutable; every call only enqueues on the stream and can be captured in a graph.
// Meaning, rounding and choice of pages are those of stages.h: the same pages as the CPU backend and the oracle.
class CudaExecutable {
 public:
  virtual ~CudaExecutable() = default;

  // Device memory that select() needs for `requests` rows of at most `max_blocks` blocks.
  virtual std::size_t workspace_bytes(int requests, int max_blocks) const = 0;

  // The most blocks that a row of at most `max_blocks` blocks selects: what max_selected must be at least.
  virtual int max_selected(int max_blocks) const = 0;

  // Runs forward_cache for every complete block of the batch's requests from token first_tokens[request] on (device
  // memory), at most `max_new_blocks` a request: after prefill.
  virtual cudaError_t update_range(const CudaLayerCache& cache, const CudaBatch& batch,
                                   const std::int32_t* first_tokens, int max_new_blocks, cudaStream_t stream) const = 0;

  // Runs forward_indexer and the choice of pages for every row; budgets are computed on the device from lengths. Where
  // batch.completes_blocks, forward_cache runs before that, in the same kernel, for the block that the newest token of
  // an active request completed (length % block == 0).
  virtual cudaError_t select(const CudaLayerCache& cache, const CudaBatch& batch, const CudaSelection& selection,
                             cudaStream_t stream) const = 0;

  // The kv heads that it was compiled for; 0: any number.
  virtual int kv_heads() const = 0;

  // Nothing where scores never leave the kernel.
  virtual std::optional<CudaScores> scores(int max_blocks) const = 0;

  virtual std::string describe() const = 0;             // the stages and kernels in words, one a line
  virtual std::vector<KernelInfo> kernels() const = 0;  // what runs, the one that selects first
  virtual const std::string& source() const = 0;        // what the kernels were compiled from
};

struct CudaTarget {
  std::string arch = "sm_90";
  std::optional<cuda::KvType> kv_type;  // of the pool, where that is not the policy's kv_cache_dtype
  std::filesystem::path cache_folder;   // compiled kernels by hash; empty: not kept
};

// Source to cubin through NVRTC or the cache; needs no device. A policy that NVRTC refuses is our bug (internal).
struct CudaBinary {
  std::string source;
  std::string hash;  // of compiler, flags, embedded headers and source: its name in the cache
  std::string cubin;
  std::vector<KernelResources> resources;
  bool from_cache = false;
};
Result<CudaBinary> build_cuda(const vflow::Policy& policy, const vflow::ModelGeometry& model, const CudaTarget& target);

// build_cuda, then loads it on the current device.
Result<std::unique_ptr<CudaExecutable>> compile_cuda(const vflow::Policy& policy, const vflow::ModelGeometry& model,
                                                     const CudaTarget& target);

}  // namespace vortex::compile
