#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process_lock.h"
#include "base/thread_annotations.h"
#include "sandbox/devices.h"
#include "sandbox/weight_keeper.h"

namespace vortex::sandbox {

// The places of workers that run side by side, each with its share of the machine: a GPU with cores near it, and the
// weights that a keeper holds there. What a candidate's worker gets does not change what it finds: the GPUs that are
// used are of one kind, and neither cores nor threads change a bit. Thread-safe.
class WorkerSlots {
 public:
  // `keepers[share.gpu]` serves the shares of that GPU; where no GPU is shared out, keepers[0] serves all. Null or
  // missing: none. `locks[share.gpu]` says whose turn it is on a GPU that several shares have; missing: nobody's.
  WorkerSlots(std::vector<Share> shares, std::vector<std::unique_ptr<WeightKeeper>> keepers,
              std::vector<ProcessLock> locks = {});

  // A place for one worker, free again when this goes.
  class Lease {
   public:
    Lease(WorkerSlots& slots, size_t slot) : slots_(&slots), slot_(slot) {}
    Lease(Lease&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)), slot_(other.slot_) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (slots_ != nullptr) { slots_->give_back(slot_); }
    }
    const Share& share() const { return slots_->shares_[slot_]; }
    // As WeightKeeper has it; null where there is no keeper.
    std::shared_ptr<const KeptWeights> kept(const std::function<bool()>& should_stop) const;
    // Of the lock of its GPU, to be inherited by its worker; none where nobody shares that.
    Descriptor turn() const;

   private:
    WorkerSlots* slots_;
    size_t slot_;
  };

  // The first free place; waits for one.
  Lease take();

 private:
  void give_back(size_t slot);

  std::vector<Share> shares_;
  std::vector<std::unique_ptr<WeightKeeper>> keepers_;
  std::vector<ProcessLock> locks_;
  Mutex mutex_;
  Condition freed_;
  std::vector<bool> taken_ VORTEX_GUARDED_BY(mutex_);
};

// What a worker is given beside its job, until this goes.
struct Place {
  std::optional<WorkerSlots::Lease> lease;
  std::optional<std::string> visible_gpus;  // CUDA_VISIBLE_DEVICES, where it is to be set; empty: it sees no GPU
  std::vector<int> cores;                   // to run on; empty: any
  std::shared_ptr<const KeptWeights> kept;
  Descriptor turn;  // Job::turn_descriptor, here
  int ranks = 1;    // of the model: with several, kernels are loaded before a GPU can wait for another

  // Whatever this process may use.
  static Place anywhere();
};

// A place in one of the slots, once one is free and its keeper has started; without slots (null) anywhere. The job
// learns what its worker inherits, and that it has no more threads than cores.
Place find_place(WorkerSlots* slots, job::Job& job, const std::function<bool()>& should_stop);

// Can so many workers of such a job have a place here (check_groups)?
Status check_worker_slots(int workers, const job::Job& job);

// Places for the workers of a search: on the GPUs of one kind that this process may use, or, where there are none or
// the job is for the CPU, on its cores. With `keep` the keepers hold the job's model and the KV of the prompts of its
// stages, and read the prompts of `ahead` while nobody needs the processor.
std::unique_ptr<WorkerSlots> make_worker_slots(int workers, const KeeperRequest& request, bool keep,
                                               const WeightKeeperOptions& keeper);

}  // namespace vortex::sandbox
