// Ranks of a model on devices of this host (core/engine/tensor_parallel.h): what they exchange through, and one rank's
// end of it. The kernels are those of kernels/cuda/all_reduce.h.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/cpu_ranks.h"
#include "core/engine/cuda/device.h"
#include "core/engine/shard.h"
#include "kernels/cuda/all_reduce.h"
#include "kernels/cuda/append.h"

namespace vortex::engine {

// Inboxes on all devices, and where the ranks' host threads meet.
class CudaRanks {
 public:
  // Rank r on device devices[r]; ranks may share devices. Every device must be able to store to every other one's
  // memory. A word that has not come after `wait_seconds` ends the call that waits for it; threads wait for each other
  // for `host_wait_seconds`. The kernels of exchanges are on all devices when this returns, and devices[0] is this
  // thread's.
  static Result<std::shared_ptr<CudaRanks>> make(const std::vector<int>& devices, int64_t inbox_bytes,
                                                 double wait_seconds,
                                                 double host_wait_seconds = CpuRanks::kWaitSeconds);

  int ranks() const { return static_cast<int>(devices_.size()); }
  int device(int rank) const { return devices_[static_cast<size_t>(rank)]; }
  cuda::Peers peers(int rank) const;
  CpuRanks& host() { return host_; }
  // Of a rank's device: eight numbers that nobody reads.
  cuda::Bf16* spare(int rank) const;
  double wait_seconds() const { return wait_seconds_; }

 private:
  CudaRanks(std::vector<int> devices, double wait_seconds, double host_wait_seconds);

  std::vector<int> devices_;
  double wait_seconds_;
  int64_t inbox_bytes_ = 0;
  CpuRanks host_;
  std::vector<DeviceMemory> inboxes_;  // [rank]
  std::vector<DeviceMemory> small_;    // [rank] the fault, then the spare numbers
};

// One rank's end: keeps count of the calls, which all ranks make alike. Not thread-safe.
class RankLink {
 public:
  RankLink(std::shared_ptr<CudaRanks> all, ShardPlan plan) : all_(std::move(all)), plan_(plan) {}

  const ShardPlan& plan() const { return plan_; }

  // Each enqueues one call, and sets the members of its arguments that are not the caller's: peers, turn and call.
  Status reduce_norm(cuda::AllReduceNorm args, cudaStream_t stream);
  Status reduce_factors(const cuda::HeadFactors& heads, cudaStream_t stream);
  // Of logits [row][stride] this rank has its part of the vocabulary.
  Status gather(float* logits, int rows, int stride, cudaStream_t stream);
  // Makes the number of calls even; after a step, so that it may be replayed, and after a prompt.
  Status end(cudaStream_t stream);

  // Waits for the host threads of all ranks: before calls are enqueued that wait on the device, nobody may still be
  // tuning or allocating, which waits for the devices.
  Status meet();
  // The least of all ranks' values, below 2^24.
  Result<int> least(int value);
  // Did a call of the work that is done give up? Then the environment's error says on whom.
  Status check() const;

 private:
  template <class Args>
  void number(Args& args);

  std::shared_ptr<CudaRanks> all_;
  ShardPlan plan_;
  int64_t calls_ = 0;
};

}  // namespace vortex::engine
