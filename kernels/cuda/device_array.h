// An owning device allocation for tests and benchmarks. Errors print and abort: there is nothing to go on with.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace vortex::cuda {

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) { return; }
  std::fprintf(stderr, "CUDA: %s: %s\n", what, cudaGetErrorString(error));
  std::abort();
}

template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::size_t size) : size_(size) {
    void* p = nullptr;
    if (size > 0) { check(cudaMalloc(&p, size * sizeof(T)), "cudaMalloc"); }
    data_ = static_cast<T*>(p);
  }
  explicit DeviceArray(const std::vector<T>& host) : DeviceArray(host.size()) { write(host); }
  DeviceArray(DeviceArray&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

  void write(const std::vector<T>& host) {
    check(cudaMemcpy(data_, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice), "copy to the device");
  }
  std::vector<T> read() const {
    std::vector<T> host(size_);
    check(cudaMemcpy(host.data(), data_, bytes(), cudaMemcpyDeviceToHost), "copy from the device");
    return host;
  }
  // Fills every byte, so that what a kernel leaves unwritten shows.
  void poison(int byte = 0xff) { check(cudaMemset(data_, byte, bytes()), "cudaMemset"); }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace vortex::cuda
