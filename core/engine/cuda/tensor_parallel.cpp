#include "core/engine/cuda/tensor_parallel.h"

#include <algorithm>
#include <string>

#include "core/engine/cuda/limits.h"
#include "core/engine/cuda/ranks.h"
#include "core/engine/shard.h"

namespace vortex::engine {
namespace {

constexpr double kWaitSeconds = 30;
constexpr int kGatheredRows = 64;  // of logits, at a time

// Sums of a prompt's rows, and logits of some rows, go through an inbox in one call.
int64_t inbox_bytes_of(const model::ModelConfig& config, const EngineOptions& options, int ranks) {
  const int64_t rows = std::max(options.max_batch, kPromptChunk);
  const int64_t sums =
      cuda::inbox_bytes_for(ranks, rows * config.hidden_size * static_cast<int64_t>(sizeof(cuda::Bf16)));
  return std::max(sums, cuda::inbox_bytes_for_gather(ranks, kGatheredRows, config.vocab_size / ranks));
}

}  // namespace

Result<std::vector<int>> devices_of_ranks(int ranks) {
  std::vector<int> devices;
  for (int device = 0; device < ranks; ++device) {
    const auto found = find_cuda_device(device);
    if (!found.ok()) { return found.error(); }
    devices.push_back(device);
  }
  return devices;
}

Result<RankEngines> make_cuda_ranks(const model::Model& whole, const EngineOptions& options, const CudaOptions& cuda,
                                    const std::vector<int>& devices) {
  const auto ranks = static_cast<int>(devices.size());
  std::vector<ShardPlan> plans;
  for (int rank = 0; rank < ranks; ++rank) {
    VORTEX_ASSIGN(plans.emplace_back(), plan_shard(whole.config, rank, ranks));
  }
  if (ranks > 1 && plans[0].vocab.count == whole.config.vocab_size) {
    // Each rank would compute all logits by products that it has tuned alone: not the same bits, not the same tokens.
    return candidate_error("a vocabulary of " + std::to_string(whole.config.vocab_size) + " cannot be split over " +
                               std::to_string(ranks) + " devices into parts of whole vectors",
                           "use fewer ranks, or the CPU: --device cpu");
  }
  VORTEX_ASSIGN(const std::shared_ptr<CudaRanks> all,
                CudaRanks::make(devices, inbox_bytes_of(whole.config, options, ranks), kWaitSeconds));
  RankEngines made;
  made.engines.resize(plans.size());
  made.enter = [devices](int rank) {
    return cuda_status(cudaSetDevice(devices[static_cast<size_t>(rank)]), "choosing the device");
  };
  made.waits = std::shared_ptr<CpuRanks>(all, &all->host());
  const auto make = [&](int rank) -> Status {
    VORTEX_TRY(made.enter(rank));
    const ShardPlan& plan = plans[static_cast<size_t>(rank)];
    CudaOptions of_rank = cuda;
    of_rank.device = devices[static_cast<size_t>(rank)];
    of_rank.link = std::make_shared<RankLink>(all, plan);
    VORTEX_ASSIGN(made.engines[static_cast<size_t>(rank)],
                  make_cuda_engine(shard_model(whole, plan), options, of_rank));
    return ok_status();
  };
  VORTEX_TRY(on_ranks(all->host(), make));
  return made;
}

Result<std::unique_ptr<Engine>> make_cuda_tensor_parallel_engine(const model::Model& whole,
                                                                 const EngineOptions& options, const CudaOptions& cuda,
                                                                 const std::vector<int>& devices) {
  VORTEX_ASSIGN(RankEngines made, make_cuda_ranks(whole, options, cuda, devices));
  return make_tensor_parallel_engine(std::move(made), whole);
}

}  // namespace vortex::engine
