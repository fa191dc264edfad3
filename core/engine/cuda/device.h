// Owning device memory, pinned host memory and streams, with errors as values.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <utility>

#include "base/result.h"

namespace vortex::engine {

// `what` says what was being done. Running out of memory and everything else that the device reports is the
// environment's; invalid arguments and unsupported shapes are ours, because shapes are checked before.
Status cuda_status(cudaError_t error, const char* what);

// Memory on the device, or pinned on the host.
template <bool kHost>
class CudaMemory {
 public:
  CudaMemory() = default;
  CudaMemory(CudaMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  CudaMemory& operator=(CudaMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~CudaMemory() { release(); }

  // Drops what it had and allocates `bytes`, undefined.
  Status allocate(size_t bytes);
  void release();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

using DeviceMemory = CudaMemory<false>;
using PinnedMemory = CudaMemory<true>;

class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();
  Status create();
  cudaStream_t get() const { return stream_; }
  Status synchronize(const char* what) const { return cuda_status(cudaStreamSynchronize(stream_), what); }

 private:
  cudaStream_t stream_ = nullptr;
};

// A captured piece of work, to be replayed.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept : executable_(std::exchange(other.executable_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(executable_, other.executable_);
    return *this;
  }
  ~Graph();

  // Captures what `enqueue` (which gives a Status) puts on the stream.
  template <class Enqueue>
  Status capture(cudaStream_t stream, const Enqueue& enqueue) {
    VORTEX_TRY(cuda_status(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a step"));
    const Status enqueued = enqueue();
    cudaGraph_t graph = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
    if (!enqueued.ok()) {
      if (graph != nullptr) { cudaGraphDestroy(graph); }
      return enqueued;
    }
    VORTEX_TRY(cuda_status(ended, "capturing a step"));
    return instantiate(graph);
  }
  // Puts it on the device beforehand: a first launch that does may wait for all that runs there.
  Status upload(cudaStream_t stream) const {
    VORTEX_TRY(cuda_status(cudaGraphUpload(executable_, stream), "preparing a step"));
    return cuda_status(cudaStreamSynchronize(stream), "preparing a step");
  }
  Status launch(cudaStream_t stream) const {
    return cuda_status(cudaGraphLaunch(executable_, stream), "replaying a step");
  }

 private:
  Status instantiate(cudaGraph_t graph);
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace vortex::engine
