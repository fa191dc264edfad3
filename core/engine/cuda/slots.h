// The state of the batch's slots, once on the device and once on the host. The host changes its copy between replays
// and sends all of it; the device's copy comes back whole.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/engine/engine.h"
#include "kernels/cuda/step.h"

namespace vortex::engine {

// Slots (kernels/cuda/step.h) and what the host alone decides.
struct SlotArrays : cuda::Slots {
  std::int32_t* admitted_tokens = nullptr;  // tokens of a prompt for which pages are wanted
  std::int32_t* first_tokens = nullptr;     // where an admitted prompt begins: 0
  std::int32_t* move_from = nullptr;
  std::int32_t* move_to = nullptr;
  std::uint8_t* finished = nullptr;  // gives its pages back
};

// Where requests go, [slot] before and after, once those that ended have left: the last ones into the gaps.
std::vector<std::pair<int, int>> moves_into_gaps(const std::vector<bool>& ended);

class SlotState {
 public:
  Status create(int slots);

  SlotArrays& host() { return host_; }
  const SlotArrays& device() const { return device_; }
  int size() const { return slots_; }

  // Clears slot `i` and sets what a request asks of it; it does not decode yet.
  void admit(int i, const Request& request);
  // Puts slot `i` back to idle.
  void clear(int i);
  void clear_all();
  // Copies what slot `from` holds on the host to slot `to`, and clears `from`.
  void move(int from, int to);

  Status upload(cudaStream_t stream);
  // Waits for the stream.
  Status download(cudaStream_t stream);

 private:
  int slots_ = 0;
  DeviceMemory device_memory_;
  PinnedMemory host_memory_;
  SlotArrays device_;
  SlotArrays host_;
};

}  // namespace vortex::engine
