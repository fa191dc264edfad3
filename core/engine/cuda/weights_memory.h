// Device memory that one process fills and others map read-only: CUDA's virtual memory management, handed on by file
// descriptor. A process that writes to what it mapped meets an illegal access of its own; nobody else notices.
#pragma once

#include <cstddef>
#include <memory>

#include "base/descriptor.h"
#include "base/result.h"

namespace vortex::engine {

// Memory of the current device, writable for its maker alone.
class ExportedMemory {
 public:
  // At least `bytes`, undefined. A device or driver without such memory is the environment's fault.
  static Result<ExportedMemory> make(size_t bytes);

  void* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }  // of what was asked for
  // The same for its maker's own engines to read; keeps the mapping.
  std::shared_ptr<const char> view() const { return {data_, static_cast<const char*>(data_.get())}; }
  // A descriptor to hand on; as many as wanted. It keeps the memory, as every mapping does.
  Result<Descriptor> share() const;

 private:
  std::shared_ptr<void> allocation_;  // the driver's handle
  std::shared_ptr<void> data_;
  size_t bytes_ = 0;
};

// Maps the first `bytes` of exported memory on the current device, which must be the one that it lies on, for reading.
// Held by the pointer's copies; the descriptor may be closed. What cannot be imported is the environment's fault.
Result<std::shared_ptr<const char>> map_exported(int descriptor, size_t bytes);

}  // namespace vortex::engine
