// Matrix products through cuBLASLt and our own skinny kernel, with the algorithm of every shape chosen by timing.
#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/gemm_cache.h"
#include "core/engine/cuda/gemm_shape.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/types.h"

namespace vortex::engine {

// The rows that a product of `rows` rows is computed with: shapes are tuned for a few sizes only, so x and y must have
// room for this many. What the extra rows hold does not matter.
int padded_rows(int rows);

class Gemms {
 public:
  Gemms() = default;
  Gemms(const Gemms&) = delete;
  Gemms& operator=(const Gemms&) = delete;
  ~Gemms();

  // With `batch_invariant` only algorithms are taken that give the same bits for a row whatever the number of rows, up
  // to cuda::kMaxSkinnyRows and, apart from that, beyond. Up to it that is our kernel with one split of k, where it
  // covers the shape (n, k), which is so by construction; otherwise those that agree to the bit, on random operands,
  // with one fixed algorithm of the shape, or else our kernel, some rows at a time. Without `own_products` only
  // cuBLASLt's.
  Status create(bool batch_invariant, bool own_products);

  // Takes choices from `folder` (empty: none are kept) and keeps new ones there. `context` names all that they follow
  // from beside what this class knows itself.
  void use_cache(const std::filesystem::path& folder, const std::string& context);

  // Chooses the algorithm of a shape, unless that was done before, here or by whoever filled the cache. The candidates
  // are timed on `weights` in turn, which together should be larger than L2. Synchronises the stream.
  Status tune(const GemmShape& shape, std::span<const cuda::Bf16* const> weights, cudaStream_t stream);

  // Enqueues a product whose shape has been tuned. `wide`, [rows][n], is room for what swiglu makes y of; without
  // swiglu it may be null.
  Status run(const GemmShape& shape, const cuda::Bf16* w, const cuda::Bf16* x, void* y, cuda::Bf16* wide,
             cudaStream_t stream) const;

  // Seconds of a product of a tuned shape, as they were measured.
  double seconds(const GemmShape& shape) const;

  // What was chosen, a shape a line: microseconds, candidates timed, candidates left out because their bits differ.
  std::string describe() const;

 private:
  // One way to compute a product: cuBLASLt's algorithm, or our kernel.
  struct Choice {
    bool skinny = false;
    cuda::SkinnySchedule schedule;
    cublasLtMatmulAlgo_t algorithm{};
  };
  struct Plan;
  using PlanPtr = std::shared_ptr<Plan>;
  struct Reference;

  Result<PlanPtr> plan(const GemmShape& shape) const;
  Result<std::vector<Choice>> candidates(const Plan& plan) const;
  Status launch(const Plan& plan, const Choice& choice, const cuda::Bf16* w, const cuda::Bf16* x, void* y,
                cuda::Bf16* wide, cudaStream_t stream) const;
  Status launch_trial(const Plan& plan, const Choice& choice, const cuda::Bf16* w, cudaStream_t stream) const;
  Result<double> time(const Plan& plan, const Choice& choice, std::span<const cuda::Bf16* const> weights,
                      cudaStream_t stream);
  Result<Reference*> reference(const GemmShape& shape, std::span<const cuda::Bf16* const> weights, cudaStream_t stream);
  Result<Choice> fixed_choice(const Plan& plan, bool ours) const;
  Result<bool> agrees(const Plan& plan, const Choice& choice, const Reference& reference,
                      std::span<const cuda::Bf16* const> weights, cudaStream_t stream);
  Status reserve(const GemmShape& shape, cudaStream_t stream);
  Status fall_back(Plan& plan, std::span<const cuda::Bf16* const> weights, cudaStream_t stream);
  static TunedProduct tuned(const Plan& plan);
  bool adopt(Plan& plan, const TunedProduct& known) const;
  Status choose(Plan& plan, std::span<const cuda::Bf16* const> weights, cudaStream_t stream);

  cublasLtHandle_t handle_ = nullptr;
  bool batch_invariant_ = true;
  bool own_products_ = true;
  GemmCache cache_;
  DeviceMemory workspace_;
  DeviceMemory x_;  // random operand of the trials, kReferenceRows rows over and over
  DeviceMemory y_;
  DeviceMemory wide_;   // of the trials, as run() has it
  DeviceMemory small_;  // what the kernels between the trials read and write
  DeviceMemory differing_;
  int x_columns_ = 0;
  std::map<GemmShape, PlanPtr> plans_;
  std::map<std::tuple<int, int, int, bool, bool, bool>, std::shared_ptr<Reference>> references_;
};

}  // namespace vortex::engine
