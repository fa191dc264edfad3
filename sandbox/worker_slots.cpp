#include "sandbox/worker_slots.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "sandbox/keeper_socket.h"

namespace vortex::sandbox {
namespace {

// Results from different kinds of GPU cannot be compared: those like the first one are used.
std::vector<Gpu> of_one_kind(std::vector<Gpu> gpus, const std::function<void(const std::string&)>& on_notice) {
  const std::string first = gpus.empty() ? std::string() : gpus.front().name;
  const auto other = std::remove_if(gpus.begin(), gpus.end(), [&](const Gpu& gpu) { return gpu.name != first; });
  if (other != gpus.end() && on_notice) {
    on_notice(std::to_string(gpus.end() - other) + " GPUs are not used: they are no " + first);
  }
  gpus.erase(other, gpus.end());
  return gpus;
}

// The GPUs of one kind that this process may use for such a job.
std::vector<Gpu> gpus_for(const job::Job& job, const std::function<void(const std::string&)>& on_notice) {
  if (job.device == "cpu") { return {}; }
  return of_one_kind(find_gpus("/", std::getenv("CUDA_VISIBLE_DEVICES")), on_notice);
}

}  // namespace

WorkerSlots::WorkerSlots(std::vector<Share> shares, std::vector<std::unique_ptr<WeightKeeper>> keepers,
                         std::vector<ProcessLock> locks)
    : shares_(std::move(shares)),
      keepers_(std::move(keepers)),
      locks_(std::move(locks)),
      taken_(shares_.size(), false) {}

WorkerSlots::Lease WorkerSlots::take() {
  const MutexLock lock(mutex_);
  const auto first_free = [this]() VORTEX_REQUIRES(mutex_) { return std::find(taken_.begin(), taken_.end(), false); };
  auto free = first_free();
  for (; free == taken_.end(); free = first_free()) { freed_.wait(mutex_); }
  *free = true;
  return {*this, static_cast<size_t>(free - taken_.begin())};
}

void WorkerSlots::give_back(size_t slot) {
  const MutexLock lock(mutex_);
  taken_[slot] = false;
  freed_.notify_one();
}

std::shared_ptr<const KeptWeights> WorkerSlots::Lease::kept(const std::function<bool()>& should_stop) const {
  const auto keeper = static_cast<size_t>(std::max(0, share().gpu));
  if (keeper >= slots_->keepers_.size() || slots_->keepers_[keeper] == nullptr) { return nullptr; }
  return slots_->keepers_[keeper]->kept(should_stop);
}

Descriptor WorkerSlots::Lease::turn() const {
  const auto gpu = static_cast<size_t>(std::max(0, share().gpu));
  if (share().sharers < 2 || gpu >= slots_->locks_.size()) { return Descriptor(); }
  Result<Descriptor> opened = slots_->locks_[gpu].open();
  return opened.ok() ? std::move(opened).value() : Descriptor();
}

Place Place::anywhere() {
  Place place;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr) { place.visible_gpus = visible; }
  return place;
}

Place find_place(WorkerSlots* slots, job::Job& job, const std::function<bool()>& should_stop) {
  Place place = Place::anywhere();
  place.ranks = job.tensor_parallel;
  if (slots == nullptr) { return place; }
  place.lease.emplace(slots->take());
  const Share& share = place.lease->share();
  if (share.gpu >= 0) { place.visible_gpus = share.visible_as; }
  job.device_sharers = share.sharers;
  place.cores = share.cores;
  if (!share.cores.empty()) { job.threads = std::min(job.threads, static_cast<int>(share.cores.size())); }
  place.kept = place.lease->kept(should_stop);
  if (place.kept != nullptr) {
    job.kept = place.kept->label;
    job.kept["descriptor"] = kFirstInherited;
  }
  place.turn = place.lease->turn();
  const size_t before = place.kept != nullptr ? place.kept->descriptors.size() : 0;
  if (place.turn.get() >= 0) { job.turn_descriptor = kFirstInherited + static_cast<int>(before); }
  return place;
}

Status check_worker_slots(int workers, const job::Job& job) {
  return check_groups(gpus_for(job, {}).size(), job.tensor_parallel, workers);
}

std::unique_ptr<WorkerSlots> make_worker_slots(int workers, const KeeperRequest& request, bool keep,
                                               const WeightKeeperOptions& keeper) {
  const int ranks = request.job.tensor_parallel;
  const std::vector<Gpu> gpus = in_groups(gpus_for(request.job, keeper.on_notice), ranks);
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  keep = keep && ranks == 1;  // what a keeper holds is a whole model
  std::vector<Share> shares = share_out(gpus, own_cores(), workers);
  std::vector<std::unique_ptr<WeightKeeper>> keepers;
  const size_t wanted = !keep ? 0 : std::clamp(gpus.size(), size_t{1}, shares.size());
  for (size_t i = 0; i < wanted; ++i) {
    WeightKeeperOptions options = keeper;
    const char* seen = i < gpus.size() ? gpus[i].visible_as.c_str() : visible;
    if (seen != nullptr) { options.environment.push_back(std::string("CUDA_VISIBLE_DEVICES=") + seen); }
    keepers.push_back(std::make_unique<WeightKeeper>(std::move(options), request));
  }
  std::vector<ProcessLock> locks;
  for (size_t i = 0; i < gpus.size(); ++i) {
    Result<ProcessLock> lock = ProcessLock::make();
    if (!lock.ok()) {
      if (keeper.on_notice) { keeper.on_notice(lock.error().message + "; speeds are measured beside other workers"); }
      locks.clear();
      break;
    }
    locks.push_back(std::move(lock).value());
  }
  return std::make_unique<WorkerSlots>(std::move(shares), std::move(keepers), std::move(locks));
}

}  // namespace vortex::sandbox
