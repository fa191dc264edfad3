// Operations over the pages of a row, by one thread block. A value has `size` elements a page; page p of those that an
// operation sees goes to accumulator p % 16, and the accumulators are added as a tree (kernels/cpu/vector.h). In every
// function x(page, element) reads, out(page, element, value) writes, pages count from the first one of the row, and the
// operation sees [first, end).
#pragma once

#include "core/compile/cuda/device/lanes.cuh"

namespace vortex::compile::device {

constexpr unsigned kAllLanes = 0xffffffffU;
constexpr int kColumns = kThreads / kLanes;  // elements that a block reduces at a time

// This thread's part of reducing element `element` of `pages` >= 1 pages, at(i) being what the operation makes of page
// i: all sixteen threads of an element get the state.
template <class Op, class At>
__device__ __forceinline__ float reduce_element(int pages, At at) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  float state = 0.0F;
  if (lane < pages) {
    state = Op::first(at(lane));
#pragma unroll 4
    for (int i = lane + kLanes; i < pages; i += kLanes) { state = Op::step(state, at(i)); }
  }
#pragma unroll
  for (int width = kLanes / 2; width > 0; width /= 2) {
    const float other = __shfl_down_sync(kAllLanes, state, width, kLanes);
    if (lane < width && lane + width < pages) { state = Op::combine(state, other); }
  }
  return __shfl_sync(kAllLanes, state, 0, kLanes);
}

// Calls body(element, leader) for this thread's elements, sixteen threads an element, one of them the leader; a thread
// without an element repeats the last one.
template <int size, class Body>
__device__ __forceinline__ void for_elements(Body body) {
  const int column = static_cast<int>(threadIdx.x) / kLanes;
  for (int from = 0; from < size; from += kColumns) {
    const int element = min(from + column, size - 1);
    body(element, from + column < size);
  }
}

template <class Op, int size, class X, class Out>
__device__ void reduce_pages(int first, int end, X x, Out out) {
  const int pages = end - first;
  for_elements<size>([&](int element, bool mine) {
    float result = 0.0F;
    if (pages > 0) {
      result = Op::finish(reduce_element<Op>(pages, [&](int i) { return x(first + i, element); }), pages);
    }
    if (mine && threadIdx.x % kLanes == 0) { out(element, result); }
  });
}

template <int size, class X, class Out>
__device__ void copy_pages(int end, X x, Out out) {
  for (int i = static_cast<int>(threadIdx.x); i < end * size; i += kThreads) {
    out(i / size, i % size, round_bf16(x(i / size, i % size)));
  }
}

template <int size, class X, class Out>
__device__ void softmax_pages(float scale, int first, int end, X x, Out out) {
  copy_pages<size>(first, x, out);
  const int pages = end - first;
  if (pages <= 0) { return; }
  for_elements<size>([&](int element, bool mine) {
    const auto scaled = [&](int i) { return x(first + i, element) * scale; };
    const float top = reduce_element<Max>(pages, scaled);
    const float total = reduce_element<Sum>(pages, [&](int i) { return exponential(scaled(i) - top); });
    if (!mine) { return; }
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x) % kLanes; i < pages; i += kLanes) {
      out(first + i, element, round_bf16(exponential(scaled(i) - top) / total));
    }
  });
}

template <int size, class X, class Out>
__device__ void normalize_pages(int first, int end, X x, Out out) {
  copy_pages<size>(first, x, out);
  const int pages = end - first;
  if (pages <= 0) { return; }
  for_elements<size>([&](int element, bool mine) {
    const float squares = reduce_element<L2Norm>(pages, [&](int i) { return x(first + i, element); });
    const float norm = maximum(sqrtf(squares), 1e-12F);
    if (!mine) { return; }
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x) % kLanes; i < pages; i += kLanes) {
      out(first + i, element, round_bf16(x(first + i, element) / norm));
    }
  });
}

// out[p] = sum_t weight[t] x[p - t] over the pages that there are; weight [taps][size].
template <int taps, int size, class X, class Out>
__device__ void conv_pages(const float* weight, int first, int end, X x, Out out) {
  copy_pages<size>(first, x, out);
  for (int i = static_cast<int>(threadIdx.x); i < (end - first) * size; i += kThreads) {
    const int page = i / size;
    const int element = i % size;
    float state = 0.0F;
    for (int t = 0; t < taps && t <= page; ++t) {
      state = fmaf(weight[t * size + element], x(first + page - t, element), state);
    }
    out(first + page, element, round_bf16(state));
  }
}

}  // namespace vortex::compile::device
