// From what a KV pool is, known on the host alone, to the instance of a kernel that reads it.
#pragma once

#include "kernels/cuda/device.cuh"

namespace vortex::cuda {

// Gives what launch.operator()<T, kDim>() gives, for the pool's element type and head dimension;
// cudaErrorNotSupported for a dimension that no kernel has.
template <class T, class Launch>
cudaError_t dispatch_head_dim(int head_dim, const Launch& launch) {
  if (head_dim == 64) { return launch.template operator()<T, 64>(); }
  if (head_dim == 128) { return launch.template operator()<T, 128>(); }
  return cudaErrorNotSupported;
}

template <class Launch>
cudaError_t dispatch(const KvPool& kv, const Launch& launch) {
  switch (kv.type) {
    case KvType::bf16:
      return dispatch_head_dim<Bf16>(kv.head_dim, launch);
    case KvType::fp8_e4m3:
      return dispatch_head_dim<__nv_fp8_e4m3>(kv.head_dim, launch);
    case KvType::fp8_e5m2:
      return dispatch_head_dim<__nv_fp8_e5m2>(kv.head_dim, launch);
    case KvType::fp32:
      return dispatch_head_dim<float>(kv.head_dim, launch);
  }
  return cudaErrorInvalidValue;
}

}  // namespace vortex::cuda
