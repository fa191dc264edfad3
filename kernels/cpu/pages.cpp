#include "kernels/cpu/pages.h"

#include <cstring>

namespace vortex::cpu {

namespace {

constexpr std::int64_t kAhead = 8;  // pages are scattered: ask for them this many before they are read

template <typename Element>
Element* place(const PagedView& view, std::int32_t page) {
  return static_cast<Element*>(view.data) + static_cast<std::int64_t>(page) * view.page_stride;
}

template <typename Element>
void prefetch_page(const PagedView& view, std::int32_t page) {
  const char* first = reinterpret_cast<const char*>(place<Element>(view, page));
  const std::int64_t bytes = view.size * static_cast<std::int64_t>(sizeof(Element));
  for (std::int64_t i = 0; i < bytes && i < 1024; i += 64) { __builtin_prefetch(first + i); }
}

}  // namespace

void gather_pages(const VectorKernels& kernels, const PagedView& view, const std::int32_t* pages, std::int64_t count,
                  std::int64_t upcoming, float* out) {
  for (std::int64_t i = 0; i < count; ++i, out += view.size) {
    if (view.bf16) {
      if (i + kAhead < count + upcoming) { prefetch_page<Bf16>(view, pages[i + kAhead]); }
      kernels.from_bf16(view.size, place<Bf16>(view, pages[i]), out);
    } else {
      std::memcpy(out, place<float>(view, pages[i]), static_cast<std::size_t>(view.size) * sizeof(float));
    }
  }
}

void scatter_pages(const VectorKernels& kernels, const PagedView& view, const std::int32_t* pages, std::int64_t count,
                   const float* x) {
  for (std::int64_t i = 0; i < count; ++i, x += view.size) {
    if (view.bf16) {
      kernels.to_bf16(view.size, x, place<Bf16>(view, pages[i]));
    } else {
      std::memcpy(place<float>(view, pages[i]), x, static_cast<std::size_t>(view.size) * sizeof(float));
    }
  }
}

}  // namespace vortex::cpu
