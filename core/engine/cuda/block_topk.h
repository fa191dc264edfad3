// The block top-k policy by hand-written kernels: centroids are made while keys are appended, scores never leave shared
// memory.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/compile/cuda/cuda_executable.h"
#include "core/vflow/policy.h"
#include "kernels/cuda/append.h"
#include "kernels/cuda/plan.h"
#include "kernels/cuda/select_attend.h"

namespace vortex::engine {

// The files that the kernels were compiled from, names and texts as they were when this program was built.
const std::vector<std::pair<std::string, std::string>>& block_topk_sources();

class BlockTopK final : public compile::CudaExecutable {
 public:
  // Null unless `policy` is block top-k (examples/policies/block_topk.py, up to renaming) under the default budget
  // rule. select() takes each request's budget by budget_rule() from its batch.
  static std::unique_ptr<BlockTopK> match(const vflow::Policy& policy);

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
  // What select() is given, for the kernel that attends as well; its `attention` is the caller's to set.
  cuda::SelectAndAttend arguments(const compile::CudaLayerCache& cache, const compile::CudaBatch& batch,
                                  const compile::CudaSelection& selection) const;
  int kv_heads() const override { return 0; }
  std::optional<compile::CudaScores> scores(int) const override { return std::nullopt; }
  std::string describe() const override;
  // Their binary hash is that of all device code in this program, which holds them.
  std::vector<compile::KernelInfo> kernels() const override;
  const std::string& source() const override { return source_; }

 private:
  BlockTopK(vflow::EngineConfig config, int head_dim);

  vflow::EngineConfig config_;
  int head_dim_;
  std::string source_;
};

}  // namespace vortex::engine
