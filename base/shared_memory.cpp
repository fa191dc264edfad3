#include "base/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace vortex {
namespace {

Error failure(const char* what, size_t bytes) {
  const int reason = errno;
  return environment_error(std::string("cannot ") + what + " " + std::to_string(bytes >> 20) +
                           " MiB of shared memory: " + std::strerror(reason));
}

}  // namespace

Result<SharedMemory> SharedMemory::make(size_t bytes) {
  Descriptor fd(::memfd_create("vortex", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.get() < 0 || ::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) { return failure("make", bytes); }
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (data == MAP_FAILED) { return failure("map", bytes); }
  return SharedMemory(std::move(fd), static_cast<char*>(data), bytes);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) { ::munmap(data_, bytes_); }
}

Result<Descriptor> SharedMemory::seal() && {
  // A mapping that can write stands in the way of the seal.
  ::munmap(std::exchange(data_, nullptr), bytes_);
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return failure("seal", bytes_);
  }
  return std::move(fd_);
}

Result<std::shared_ptr<const char>> map_descriptor(int fd, size_t bytes) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) { return failure("look at", bytes); }
  if (bytes == 0 || static_cast<size_t>(info.st_size) < bytes) {
    return environment_error("shared memory of " + std::to_string(info.st_size) + " bytes where " +
                             std::to_string(bytes) + " were promised");
  }
  // Private, because kernels before 6.7 refuse a shared mapping of sealed memory; the pages are the same ones.
  void* data = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) { return failure("map", bytes); }
  return std::shared_ptr<const char>(static_cast<const char*>(data),
                                     [bytes](const char* at) { ::munmap(const_cast<char*>(at), bytes); });
}

}  // namespace vortex
