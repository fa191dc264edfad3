// Ranks of one process with all that their exchanges need, for tests and benchmarks. Errors print and abort.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/all_reduce.h"
#include "kernels/cuda/device_array.h"

namespace vortex::cuda {

// Rank r is on device r with a stream of its own; where there are too few devices, or `one_device` says so, all are on
// device 0.
class RankGroup {
 public:
  // Inboxes take sums of up to `bytes`; a word is waited for `wait_ns`.
  RankGroup(int ranks, std::int64_t bytes, std::uint64_t wait_ns, bool one_device = false) : ranks_(ranks) {
    int devices = 0;
    check(cudaGetDeviceCount(&devices), "devices");
    shared_ = one_device || devices < ranks;
    for (int rank = 0; rank < ranks; ++rank) {
      use(rank);
      if (!shared_) { enable_peers(rank); }
      check(cudaStreamCreateWithFlags(&streams_.emplace_back(), cudaStreamNonBlocking), "stream");
      inboxes_.emplace_back(static_cast<std::size_t>(inbox_bytes_for(ranks, bytes)));
      inboxes_.back().poison();
      faults_.emplace_back(std::vector<std::uint32_t>{0});
      check(cudaDeviceSynchronize(), "ranks");
    }
    for (int rank = 0; rank < ranks; ++rank) {
      Peers& p = peers_.emplace_back();
      p.rank = rank;
      p.ranks = ranks;
      for (int to = 0; to < ranks; ++to) { p.inboxes[to] = inboxes_[static_cast<std::size_t>(to)].data(); }
      p.inbox_bytes = static_cast<std::int64_t>(inboxes_[0].bytes());
      p.wait_ns = wait_ns;
      p.fault = faults_[static_cast<std::size_t>(rank)].data();
      p.shares_device = shared_;
    }
    use(0);
  }
  ~RankGroup() {
    for (int rank = 0; rank < ranks_; ++rank) {
      use(rank);
      cudaStreamDestroy(streams_[static_cast<std::size_t>(rank)]);
    }
    use(0);
  }
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int ranks() const { return ranks_; }
  bool shared() const { return shared_; }
  // Makes the rank's device this thread's.
  void use(int rank) const { check(cudaSetDevice(shared_ ? 0 : rank), "device"); }
  const Peers& peers(int rank) const { return peers_[static_cast<std::size_t>(rank)]; }
  cudaStream_t stream(int rank) const { return streams_[static_cast<std::size_t>(rank)]; }

  // Waits for all ranks; each one's fault (all_reduce.h).
  std::vector<std::uint32_t> finish() const {
    std::vector<std::uint32_t> faults;
    for (int rank = 0; rank < ranks_; ++rank) {
      use(rank);
      check(cudaStreamSynchronize(stream(rank)), "ranks");
      faults.push_back(faults_[static_cast<std::size_t>(rank)].read()[0]);
    }
    use(0);
    return faults;
  }
  const std::vector<DeviceArray<std::uint8_t>>& inboxes() const { return inboxes_; }

  // [rank] arrays of these values, on the ranks' devices.
  template <class T>
  std::vector<DeviceArray<T>> arrays(const std::vector<std::vector<T>>& values) const {
    std::vector<DeviceArray<T>> made;
    for (int rank = 0; rank < ranks_; ++rank) {
      use(rank);
      made.emplace_back(values[static_cast<std::size_t>(rank)]);
    }
    use(0);
    return made;
  }

 private:
  void enable_peers(int rank) const {
    for (int other = 0; other < ranks_; ++other) {
      if (other == rank) { continue; }
      const cudaError_t error = cudaDeviceEnablePeerAccess(other, 0);
      if (error != cudaErrorPeerAccessAlreadyEnabled) { check(error, "peer access"); }
      cudaGetLastError();
    }
  }

  int ranks_;
  bool shared_ = false;
  std::vector<cudaStream_t> streams_;
  std::vector<DeviceArray<std::uint8_t>> inboxes_;
  std::vector<DeviceArray<std::uint32_t>> faults_;
  std::vector<Peers> peers_;
};

}  // namespace vortex::cuda
