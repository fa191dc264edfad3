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

// What the threads of one such operation tell each other; one place for all of them.
static __shared__ float states[kLanes][kThreads];
static __shared__ float tops[kThreads / 32][kLanes];
static __shared__ float totals[kLanes];

// The same with line(page, element) for sixteen elements at once, every thread sixteen of every sixteenth page: what is
// added to what is as above.
template <class Op, int size, class Line, class Out>
__device__ void reduce_pages_of_lanes(int first, int end, Line line, Out out) {
  const int pages = end - first;
  const int accumulator = static_cast<int>(threadIdx.x) / kColumns;
  const int column = static_cast<int>(threadIdx.x) % kColumns * kLanes;
  for (int from = 0; from < size; from += kThreads) {
    if (accumulator < pages && from + column < size) {
      const Lanes start = line(first + accumulator, from + column);
      Lanes state = each([&](int j) { return Op::first(start.v[j]); });
#pragma unroll 4
      for (int i = accumulator + kLanes; i < pages; i += kLanes) {
        const Lanes x = line(first + i, from + column);
        state = each([&](int j) { return Op::step(state.v[j], x.v[j]); });
      }
#pragma unroll
      for (int j = 0; j < kLanes; ++j) { states[accumulator][column + j] = state.v[j]; }
    }
    __syncthreads();
    const int element = from + static_cast<int>(threadIdx.x);
    if (element < size) {
      Lanes all = each([&](int i) { return i < pages ? states[i][threadIdx.x] : 0.0F; });
#pragma unroll
      for (int width = kLanes / 2; width > 0; width /= 2) {
#pragma unroll
        for (int i = 0; i < kLanes / 2; ++i) {
          if (i < width && i + width < pages) { all.v[i] = Op::combine(all.v[i], all.v[i + width]); }
        }
      }
      out(element, pages > 0 ? Op::finish(all.v[0], pages) : 0.0F);
    }
    __syncthreads();
  }
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

// The same by all threads, each exponential once; place(page, element) is where a result lives. A maximum is the same
// in any order, and the sum is taken in the one above. `size` is a power of two up to 16.
template <int size, class X, class Place>
__device__ void softmax_pages_by_all(float scale, int first, int end, X x, Place place) {
  copy_pages<size>(first, x, [&](int page, int element, float value) { place(page, element) = value; });
  const int pages = end - first;
  if (pages <= 0) { return; }
  const int element = static_cast<int>(threadIdx.x) % size;
  const int start = static_cast<int>(threadIdx.x) / size;
  constexpr int kStep = kThreads / size;
  float top = __uint_as_float(0xff800000U);
#pragma unroll 4
  for (int i = start; i < pages; i += kStep) { top = maximum(top, x(first + i, element) * scale); }
#pragma unroll
  for (int width = 16; width >= size; width /= 2) { top = maximum(top, __shfl_xor_sync(kAllLanes, top, width)); }
  if (threadIdx.x % 32 < size) { tops[threadIdx.x / 32][threadIdx.x % 32] = top; }
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kThreads / 32; ++warp) { top = maximum(top, tops[warp][element]); }
#pragma unroll 4
  for (int i = start; i < pages; i += kStep) {
    place(first + i, element) = exponential(x(first + i, element) * scale - top);
  }
  __syncthreads();
  for_elements<size>([&](int of, bool mine) {
    const float total = reduce_element<Sum>(pages, [&](int i) { return place(first + i, of); });
    if (mine && threadIdx.x % kLanes == 0) { totals[of] = total; }
  });
  __syncthreads();
#pragma unroll 4
  for (int i = start; i < pages; i += kStep) {
    place(first + i, element) = round_bf16(place(first + i, element) / totals[element]);
  }
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

// The same for sixteen elements at a time: line(page, element) reads them, out(page, element, lanes) rounds and writes.
template <int taps, int size, class Line, class Out>
__device__ void conv_pages_of_lanes(const float* weight, int first, int end, Line line, Out out) {
  constexpr int kParts = size / kLanes;
  for (int i = static_cast<int>(threadIdx.x); i < first * kParts; i += kThreads) {
    out(i / kParts, i % kParts * kLanes, line(i / kParts, i % kParts * kLanes));
  }
#pragma unroll 2
  for (int i = static_cast<int>(threadIdx.x); i < (end - first) * kParts; i += kThreads) {
    const int page = i / kParts;
    const int element = i % kParts * kLanes;
    Lanes state = splat(0.0F);
    for (int t = 0; t < taps && t <= page; ++t) {
      const Lanes x = line(first + page - t, element);
      state = each([&](int j) { return fmaf(weight[t * size + element + j], x.v[j], state.v[j]); });
    }
    out(first + page, element, state);
  }
}

}  // namespace vortex::compile::device
