#pragma once

#include <ATen/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/vflow/config/config.h"
#include "core/vflow/program.h"

namespace vortex::tensor {

// An at::Tensor and how its pages are laid out:
//   BATCHED    [1, rows, cols]
//   RAGGED     [pages, rows, cols], consecutive logical pages of one row
//   PAGED      [physical pages, kv heads, rows, cols], not contiguous for one row: `gather` follows the page table
//   PARAMETER  [layers, rows, cols]
struct VTensor {
  at::Tensor data;
  vflow::Format format = vflow::Format::kRagged;
  vflow::Dtype dtype = vflow::Dtype::kFp32;  // of PAGED data: fp8 is kept as bytes, which LibTorch has no type for
};

// A PAGED view of memory that somebody else owns and keeps alive. `data` holds `pages` physical pages of kBf16, kFp32
// or an fp8 type.
VTensor paged_view(void* data, vflow::Dtype dtype, int64_t pages, int kv_heads, int rows, int cols);

// RAGGED copy of one kv head's pages, in the order of `page_ids`, in the given scalar type.
VTensor gather(const VTensor& paged, int kv_head, const std::vector<int64_t>& page_ids, at::ScalarType type);

// Rounds to the dtype (kBf16, kFp32 or an fp8 type) and back: float32 first, then the smaller type, to nearest even;
// fp8 stops at its largest number, as the device's stores do. Monotonic.
at::Tensor round_to(const at::Tensor& x, vflow::Dtype dtype);

}  // namespace vortex::tensor
