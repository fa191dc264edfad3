// Tensors on their way from a mapped checkpoint to a device, through pinned memory of a bounded size: nobody holds
// another copy of them on the host.
#pragma once

#include <array>

#include "base/result.h"
#include "core/engine/cuda/device.h"
#include "core/model/rows.h"

namespace vortex::engine {

class Staging {
 public:
  static constexpr size_t kBytes = size_t{32} << 20;  // two halves: one is filled while the other is sent

  explicit Staging(cudaStream_t stream) : stream_(stream) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging();

  // Enqueues the copy of all rows of `tensor` to `to` on the device, one behind the other. The tensor may go when this
  // returns; this must not before the stream was waited for.
  Status copy(char* to, const model::Tensor& tensor, model::RowForm form);

 private:
  struct Half {
    char* memory = nullptr;
    cudaEvent_t sent = nullptr;
  };

  Status create(size_t half_bytes);

  cudaStream_t stream_;
  PinnedMemory memory_;
  std::array<Half, 2> halves_;
  size_t half_bytes_ = 0;
  size_t next_ = 0;
};

}  // namespace vortex::engine
