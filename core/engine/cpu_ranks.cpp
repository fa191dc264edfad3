#include "core/engine/cpu_ranks.h"

#include <algorithm>
#include <chrono>

namespace vortex::engine {

CpuRanks::CpuRanks(int ranks, double wait_seconds)
    : ranks_(ranks),
      wait_seconds_(wait_seconds),
      calls_(static_cast<size_t>(ranks), 0),
      said_(2 * static_cast<size_t>(ranks)),
      met_(static_cast<size_t>(ranks), 0) {}

std::vector<float>& CpuRanks::slot(int caller, int rank) {
  const auto turn = static_cast<int>(calls_[static_cast<size_t>(caller)] % 2);
  return said_[static_cast<size_t>(turn * ranks_ + rank)];
}

void CpuRanks::meet(int rank) {
  const int64_t call = calls_[static_cast<size_t>(rank)] + 1;
  const MutexLock lock(mutex_);
  met_[static_cast<size_t>(rank)] = call;
  condition_.notify_all();
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(wait_seconds_);
  while (!abandoned_ && *std::min_element(met_.begin(), met_.end()) < call) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left.count() <= 0) {
      abandoned_ = true;
      condition_.notify_all();
      return;
    }
    condition_.wait_for(mutex_, left);
  }
}

void CpuRanks::all_reduce(int rank, std::span<float> x) {
  slot(rank, rank).assign(x.begin(), x.end());
  meet(rank);
  for (int from = 0; from < ranks_ && !abandoned(); ++from) {
    const std::vector<float>& other = slot(rank, from);
    for (size_t i = 0; i < x.size(); ++i) { x[i] = from == 0 ? other[i] : x[i] + other[i]; }
  }
  ++calls_[static_cast<size_t>(rank)];
}

void CpuRanks::all_gather(int rank, float* rows, int count, int columns, int64_t stride) {
  const auto at = [&](int row, int of) { return rows + row * stride + static_cast<int64_t>(of) * columns; };
  std::vector<float>& own = slot(rank, rank);
  own.clear();
  for (int row = 0; row < count; ++row) { own.insert(own.end(), at(row, rank), at(row, rank) + columns); }
  meet(rank);
  for (int from = 0; from < ranks_ && !abandoned(); ++from) {
    if (from == rank) { continue; }
    const float* other = slot(rank, from).data();
    for (int row = 0; row < count; ++row) {
      std::copy_n(other + static_cast<int64_t>(row) * columns, columns, at(row, from));
    }
  }
  ++calls_[static_cast<size_t>(rank)];
}

void CpuRanks::abandon() {
  const MutexLock lock(mutex_);
  abandoned_ = true;
  condition_.notify_all();
}

bool CpuRanks::abandoned() const {
  const MutexLock lock(mutex_);
  return abandoned_;
}

}  // namespace vortex::engine
