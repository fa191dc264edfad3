#include "core/engine/cpu_ranks.h"

#include <algorithm>
#include <chrono>
#include <string>

namespace vortex::engine {

CpuRanks::CpuRanks(int ranks, double wait_seconds)
    : ranks_(ranks),
      wait_seconds_(wait_seconds),
      calls_(static_cast<size_t>(ranks), 0),
      said_(2 * static_cast<size_t>(ranks)),
      met_(static_cast<size_t>(ranks), 0),
      left_(static_cast<size_t>(ranks)) {}

std::vector<float>& CpuRanks::slot(int caller, int rank) {
  const auto turn = static_cast<int>(calls_[static_cast<size_t>(caller)] % 2);
  return said_[static_cast<size_t>(turn * ranks_ + rank)];
}

int CpuRanks::missing(int64_t call) const {
  const auto behind = std::find_if(met_.begin(), met_.end(), [call](int64_t met) { return met < call; });
  return static_cast<int>(behind - met_.begin());
}

Status CpuRanks::meet(int rank) {
  const int64_t call = calls_[static_cast<size_t>(rank)] + 1;
  const auto who = [](int of) { return "rank " + std::to_string(of) + " of the model"; };
  const MutexLock lock(mutex_);
  met_[static_cast<size_t>(rank)] = call;
  if (missing(call) == ranks_) { condition_.notify_all(); }
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(wait_seconds_);
  for (int late = missing(call); late < ranks_; late = missing(call)) {
    if (ended_) { return *ended_; }
    const auto left = end - std::chrono::steady_clock::now();
    if (const std::optional<Status>& how = left_[static_cast<size_t>(late)]) {
      end_locked(how->ok() ? internal_error(who(late) + " ended while rank " + std::to_string(rank) + " waited for it")
                           : how->error());
    } else if (left.count() <= 0) {
      end_locked(
          environment_error(who(late) + " has not come to exchange " + std::to_string(call) + " within " +
                                std::to_string(static_cast<int>(wait_seconds_)) + " s, where rank " +
                                std::to_string(rank) + " waits for it",
                            "see what holds it up: a device in use, a slow disk, a machine with too much to do"));
    } else {
      condition_.wait_for(mutex_, left);
    }
  }
  return ok_status();
}

Status CpuRanks::all_reduce(int rank, std::span<float> x) {
  VORTEX_TRY(status());  // somebody may still be reading what was said before the end
  slot(rank, rank).assign(x.begin(), x.end());
  VORTEX_TRY(meet(rank));
  for (int from = 0; from < ranks_; ++from) {
    const std::vector<float>& other = slot(rank, from);
    for (size_t i = 0; i < x.size(); ++i) { x[i] = from == 0 ? other[i] : x[i] + other[i]; }
  }
  ++calls_[static_cast<size_t>(rank)];
  return ok_status();
}

Status CpuRanks::all_gather(int rank, float* rows, int count, int columns, int64_t stride) {
  const auto at = [&](int row, int of) { return rows + row * stride + static_cast<int64_t>(of) * columns; };
  VORTEX_TRY(status());
  std::vector<float>& own = slot(rank, rank);
  own.clear();
  for (int row = 0; row < count; ++row) { own.insert(own.end(), at(row, rank), at(row, rank) + columns); }
  VORTEX_TRY(meet(rank));
  for (int from = 0; from < ranks_; ++from) {
    if (from == rank) { continue; }
    const float* other = slot(rank, from).data();
    for (int row = 0; row < count; ++row) {
      std::copy_n(other + static_cast<int64_t>(row) * columns, columns, at(row, from));
    }
  }
  ++calls_[static_cast<size_t>(rank)];
  return ok_status();
}

Status CpuRanks::begin() {
  const MutexLock lock(mutex_);
  if (ended_) { return *ended_; }
  std::fill(left_.begin(), left_.end(), std::nullopt);
  return ok_status();
}

void CpuRanks::leave(int rank, const Status& how) {
  const MutexLock lock(mutex_);
  left_[static_cast<size_t>(rank)] = how;
  condition_.notify_all();
}

void CpuRanks::end(const Error& reason) {
  const MutexLock lock(mutex_);
  end_locked(reason);
}

void CpuRanks::end_locked(const Error& reason) {
  if (!ended_) {
    ended_ = reason;
    if (reason.blame == Blame::kCandidate) { ended_->blame = Blame::kInternal; }
  }
  condition_.notify_all();
}

Status CpuRanks::status() const {
  const MutexLock lock(mutex_);
  return ended_ ? Status(*ended_) : ok_status();
}

}  // namespace vortex::engine
