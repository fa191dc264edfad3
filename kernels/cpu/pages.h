#pragma once

#include <cstdint>

#include "kernels/cpu/vector.h"

namespace vortex::cpu {

// One kv head's view of a paged tensor, [page][kv head][size] with this head's first element at `data`.
struct PagedView {
  void* data = nullptr;
  bool bf16 = true;              // else float32
  std::int64_t page_stride = 0;  // elements between pages: kv_heads * size
  std::int64_t size = 0;         // elements of one page and head
};

// out[i][size] = the view at pages[i], as float32, for i < count. `upcoming` more entries of `pages` are gathered next:
// the memory is asked for them ahead.
void gather_pages(const VectorKernels& kernels, const PagedView& view, const std::int32_t* pages, std::int64_t count,
                  std::int64_t upcoming, float* out);

// The view at pages[i] = x[i][size], rounded to the view's type. A page that occurs twice keeps the later value.
void scatter_pages(const VectorKernels& kernels, const PagedView& view, const std::int32_t* pages, std::int64_t count,
                   const float* x);

}  // namespace vortex::cpu
