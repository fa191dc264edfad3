#include "core/engine/cuda/device.h"

#include <array>
#include <cstdio>

#include "core/engine/cuda/cuda_engine.h"

namespace vortex::engine {

Status cuda_status(cudaError_t error, const char* what) {
  if (error == cudaSuccess) { return ok_status(); }
  const std::string message = std::string("CUDA failed while ") + what + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) {
    return environment_error(message, "use a smaller batch, context or KV pool");
  }
  if (error == cudaErrorInvalidValue || error == cudaErrorNotSupported) { return internal_error(message); }
  return environment_error(message);
}

template <bool kHost>
Status CudaMemory<kHost>::allocate(size_t bytes) {
  release();
  if (bytes == 0) { return ok_status(); }
  if constexpr (kHost) {
    VORTEX_TRY(cuda_status(cudaMallocHost(&data_, bytes), "allocating pinned memory"));
  } else {
    const std::string what = "allocating " + std::to_string(bytes >> 20) + " MiB on the device";
    VORTEX_TRY(cuda_status(cudaMalloc(&data_, bytes), what.c_str()));
  }
  bytes_ = bytes;
  return ok_status();
}

template <bool kHost>
void CudaMemory<kHost>::release() {
  if (data_ == nullptr) { return; }
  if constexpr (kHost) {
    cudaFreeHost(data_);
  } else {
    cudaFree(data_);
  }
  data_ = nullptr;
  bytes_ = 0;
}

template class CudaMemory<true>;
template class CudaMemory<false>;

Stream::~Stream() {
  if (stream_ != nullptr) { cudaStreamDestroy(stream_); }
}

Status Stream::create() {
  return cuda_status(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

Graph::~Graph() {
  if (executable_ != nullptr) { cudaGraphExecDestroy(executable_); }
}

Status Graph::instantiate(cudaGraph_t graph) {
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  VORTEX_TRY(cuda_status(error, "instantiating a graph"));
  if (executable_ != nullptr) { cudaGraphExecDestroy(executable_); }
  executable_ = executable;
  return ok_status();
}

Result<CudaDevice> find_cuda_device(int device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();  // not sticky: somebody may ask again
    return environment_error(std::string("no CUDA device: ") + cudaGetErrorString(error));
  }
  if (device < 0 || device >= count) {
    return environment_error("no CUDA device " + std::to_string(device) + ": there are " + std::to_string(count));
  }
  cudaDeviceProp properties{};
  VORTEX_TRY(cuda_status(cudaGetDeviceProperties(&properties, device), "reading the device's properties"));
  if (properties.major != 9 || properties.minor != 0) {
    return environment_error(std::string(properties.name) + " has compute capability " +
                             std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                             ", but the kernels are built for 9.0");
  }
  CudaDevice found;
  found.name = properties.name;
  found.multiprocessors = properties.multiProcessorCount;
  found.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  std::array<char, 32> bus_id{};
  std::snprintf(bus_id.data(), bus_id.size(), "%04x:%02x:%02x.0", properties.pciDomainID, properties.pciBusID,
                properties.pciDeviceID);
  found.bus_id = bus_id.data();
  VORTEX_TRY(cuda_status(cudaDriverGetVersion(&found.driver), "reading the driver's version"));
  VORTEX_TRY(cuda_status(cudaRuntimeGetVersion(&found.runtime), "reading the runtime's version"));
  return found;
}

}  // namespace vortex::engine
