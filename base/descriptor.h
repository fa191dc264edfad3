#pragma once

#include <unistd.h>

#include <utility>

namespace vortex {

// Owns a file descriptor; -1 is none.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) { ::close(fd_); }
  }

  int get() const { return fd_; }
  // Closes it now.
  void close() { Descriptor(std::move(*this)); }

 private:
  int fd_ = -1;
};

}  // namespace vortex
