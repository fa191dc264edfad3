// The block top-k policy by hand-written kernels: centroids are made while keys are appended, scores never leave shared
// memory.
#pragma once

#include <memory>
#include <string>

#include "core/compile/cuda/cuda_executable.h"
#include "core/vflow/policy.h"
#include "kernels/cuda/append.h"
#include "kernels/cuda/plan.h"

namespace vortex::engine {

class BlockTopK final : public compile::CudaExecutable {
 public:
  // Null unless `policy` is block top-k (examples/policies/block_topk.py, up to renaming) under the default budget
  // rule. `budgets`, [request] on the device, hold each request's budget by budget_rule() when select() runs.
  static std::unique_ptr<BlockTopK> match(const vflow::Policy& policy, const std::int32_t* budgets);

  cuda::BudgetRule budget_rule() const;
  // What append_kv has to make of each completed block.
  cuda::BlockSummary summary(const compile::CudaLayerCache& cache) const;

  size_t workspace_bytes(int requests, int max_blocks) const override;
  int max_selected(int max_blocks) const override;
  cudaError_t update_range(const compile::CudaLayerCache& cache, const compile::CudaBatch& batch,
                           const std::int32_t* first_tokens, int max_new_blocks, cudaStream_t stream) const override;
  // Completes nothing: append_kv has made the centroids.
  cudaError_t select(const compile::CudaLayerCache& cache, const compile::CudaBatch& batch,
                     const compile::CudaSelection& selection, cudaStream_t stream) const override;
  std::string describe() const override;
  const std::string& source() const override { return source_; }
  const std::string& hash() const override { return hash_; }

 private:
  BlockTopK(vflow::EngineConfig config, const std::int32_t* budgets);

  vflow::EngineConfig config_;
  const std::int32_t* budgets_;
  std::string source_;
  std::string hash_;
};

}  // namespace vortex::engine
