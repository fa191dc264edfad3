#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/compile/executable.h"
#include "kernels/cpu/isa.h"

namespace vortex::compile {

// A policy compiled for the CPU. Its memory is the host's, and nothing can fail once it is compiled: the decode loop
// calls it without the detour of a Status.
class CpuExecutable : public Executable {
 public:
  virtual void update(const LayerCache& cache, std::span<const int32_t> pages) const = 0;
  virtual void choose(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                      std::vector<float>* scores = nullptr) const = 0;

  Status update_pages(const LayerCache& cache, std::span<const int32_t> pages) const final {
    update(cache, pages);
    return ok_status();
  }
  Status select(const LayerCache& cache, const IndexerBatch& batch, Selection& selection,
                std::vector<float>* scores = nullptr) const final {
    choose(cache, batch, selection, scores);
    return ok_status();
  }
  int kv_heads() const final { return 0; }
};

// Compiles for the CPU: stages run tile by tile with the widest SIMD that this machine has; results do not depend on
// the instruction set or the number of threads. A dtype that the CPU does not keep is the candidate's fault.
Result<std::unique_ptr<CpuExecutable>> compile_cpu(const vflow::Policy& policy);

// compile_cpu for one instruction set: results are the same on all of them, which tests check with this.
Result<std::unique_ptr<CpuExecutable>> compile_cpu_for(const vflow::Policy& policy, cpu::Isa isa);

}  // namespace vortex::compile
