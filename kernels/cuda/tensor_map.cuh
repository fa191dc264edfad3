// Maps of matrices for the tensor copy engine.
#pragma once

#include <cuda.h>

#include "kernels/cuda/types.h"

namespace vortex::cuda {

inline constexpr int kMapBytes = 128;              // of a row of a box, the widest that the copy engine swizzles
inline constexpr int kMapColumns = kMapBytes / 2;  // the same in bf16

// A map of boxes of `box_rows` rows, kMapBytes wide, of a matrix of bf16 or of single bytes. Rows are a multiple of 16
// bytes.
inline cudaError_t map_matrix(CUtensorMap* map, const void* matrix, bool single_bytes, std::int64_t rows, int columns,
                              int box_rows) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
  }();
  if (encode == nullptr) { return cudaErrorNotSupported; }
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint32_t element = single_bytes ? 1 : sizeof(Bf16);
  const CUtensorMapDataType type = single_bytes ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(columns) * element};
  const cuuint32_t box[] = {kMapBytes / element, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult made =
      encode(map, type, 2, const_cast<void*>(matrix), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return made == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace vortex::cuda
