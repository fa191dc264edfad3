#pragma once

#include <cstddef>
#include <memory>

#include "base/descriptor.h"
#include "base/result.h"

namespace vortex {

// Memory without a name that one process fills and hands on by descriptor. Once sealed nobody can change it, neither
// its maker nor whoever holds the descriptor. Failures are the environment's.
class SharedMemory {
 public:
  // `bytes` (at least one) of zeros, writable.
  static Result<SharedMemory> make(size_t bytes);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  char* data() const { return data_; }  // null once sealed
  // Ends writing for good, and gives the descriptor to hand on.
  Result<Descriptor> seal() &&;

 private:
  SharedMemory(Descriptor fd, char* data, size_t bytes) : fd_(std::move(fd)), data_(data), bytes_(bytes) {}
  Descriptor fd_;
  char* data_ = nullptr;
  size_t bytes_ = 0;
};

// Maps the first `bytes` of a file or shared memory for reading, until the last copy of the pointer is gone; the
// descriptor may be closed meanwhile. Shorter than that: the environment's fault.
Result<std::shared_ptr<const char>> map_descriptor(int fd, size_t bytes);

}  // namespace vortex
