// Maps of matrices for the tensor copy engine.
#pragma once

#include <cuda.h>

#include "kernels/cuda/types.h"

namespace vortex::cuda {

inline constexpr int kMapBytes = 128;              // of a row of a box, the widest that the copy engine swizzles
inline constexpr int kMapColumns = kMapBytes / 2;  // the same in bf16

// Fills in `map`: `rank` dimensions, sizes[0] of which lie side by side, those of the others strides[i - 1] bytes
// apart; boxes are swizzled by their rows of kMapBytes.
inline cudaError_t map_tensor(CUtensorMap* map, CUtensorMapDataType type, unsigned rank, const void* tensor,
                              const cuuint64_t* sizes, const cuuint64_t* strides, const cuuint32_t* box) {
  using Encode = decltype(&cuTensorMapEncodeTiled);
  static const Encode encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result);
    return error == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<Encode>(found) : nullptr;
  }();
  if (encode == nullptr) { return cudaErrorNotSupported; }
  const cuuint32_t steps[] = {1, 1, 1};
  const CUresult made =
      encode(map, type, rank, const_cast<void*>(tensor), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return made == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

// A map of boxes of `box_rows` rows, kMapBytes wide, of a matrix of bf16 or of single bytes. Rows are a multiple of 16
// bytes.
inline cudaError_t map_matrix(CUtensorMap* map, const void* matrix, bool single_bytes, std::int64_t rows, int columns,
                              int box_rows) {
  const cuuint32_t element = single_bytes ? 1 : sizeof(Bf16);
  const CUtensorMapDataType type = single_bytes ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(columns) * element};
  const cuuint32_t box[] = {kMapBytes / element, static_cast<cuuint32_t>(box_rows)};
  return map_tensor(map, type, 2, matrix, sizes, strides, box);
}

// A map of boxes of `box_rows` whole rows of a matrix of bf16, whose `columns` are a multiple of kMapColumns. A box
// lies row behind row, of each 16-byte word w of a line of kMapBytes at place w ^ (the line's number % 8). Its
// coordinates are {0, 0, row}.
inline cudaError_t map_whole_rows(CUtensorMap* map, const void* matrix, std::int64_t rows, int columns, int box_rows) {
  const auto lines = static_cast<cuuint64_t>(columns / kMapColumns);
  const cuuint64_t sizes[] = {kMapColumns, lines, static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {kMapBytes, lines * kMapBytes};
  const cuuint32_t box[] = {kMapColumns, static_cast<cuuint32_t>(lines), static_cast<cuuint32_t>(box_rows)};
  return map_tensor(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, matrix, sizes, strides, box);
}

}  // namespace vortex::cuda
