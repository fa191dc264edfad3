// The kernels of vector.h, included once per instruction set.
#pragma once

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/vector.h"

namespace vortex::cpu {
namespace {

constexpr float kMasked = -1e30F;  // what Where* gives when its predicate fails

// Calls body(first, lanes) for every 16 elements and once for the rest: body(i, n) with n <= 16.
template <typename Body>
inline void for_lanes(std::int64_t count, Body&& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) { body(i, kLanes); }
  if (i < count) { body(i, static_cast<int>(count - i)); }
}
inline Lanes load_up_to(const float* p, int n) { return n == kLanes ? load(p) : load_n(p, n); }
inline void store_up_to(float* p, Lanes a, int n) {
  if (n == kLanes) {
    store(p, a);
  } else {
    store_n(p, a, n);
  }
}

template <Binary op>
inline Lanes apply(Lanes x, Lanes y, Lanes alpha, Lanes beta) {
  const Lanes yes = splat(0.0F);
  const Lanes no = splat(kMasked);
  switch (op) {
    case Binary::kMultiply:
      return x * y;
    case Binary::kAdd:
      return fma(alpha, x, beta * y);
    case Binary::kMaximum:
      return maximum(x, y);
    case Binary::kMinimum:
      return minimum(x, y);
    case Binary::kWhereEqual:
      return select(equal(x, y), yes, no);
    case Binary::kWhereNotEqual:
      return select(not_equal(x, y), yes, no);
    case Binary::kWhereGreater:
      return select(greater(x, y), yes, no);
    case Binary::kWhereGreaterEqual:
      return select(greater_equal(x, y), yes, no);
    case Binary::kWhereLess:
      return select(greater(y, x), yes, no);
    case Binary::kWhereLessEqual:
      return select(greater_equal(y, x), yes, no);
  }
  return yes;
}

// A loop nest of at most three dimensions over two operands; the innermost strides are 0 or 1.
struct Nest {
  std::int64_t extent[3] = {1, 1, 1};
  std::int64_t x_stride[3] = {0, 0, 0};
  std::int64_t y_stride[3] = {0, 0, 0};
};

inline void push_dimension(Nest& nest, int& used, std::int64_t extent, std::int64_t x_stride, std::int64_t y_stride) {
  if (extent == 1) { return; }
  const int inner = used - 1;
  if (used > 0 && x_stride == nest.x_stride[inner] * nest.extent[inner] &&
      y_stride == nest.y_stride[inner] * nest.extent[inner]) {
    nest.extent[inner] *= extent;
    return;
  }
  nest.extent[used] = extent;
  nest.x_stride[used] = x_stride;
  nest.y_stride[used] = y_stride;
  ++used;
}

inline std::int64_t row_stride(const Operand& a) { return a.rows == 1 ? 0 : a.cols; }
inline std::int64_t page_stride(const Operand& a) {
  return a.per_page ? static_cast<std::int64_t>(a.rows) * a.cols : 0;
}

// Dimensions from the innermost out, neighbours merged where both operands run on.
inline Nest make_nest(Extent e, const Operand& x, const Operand& y) {
  Nest nest;
  int used = 0;
  push_dimension(nest, used, e.cols, x.cols == 1 ? 0 : 1, y.cols == 1 ? 0 : 1);
  push_dimension(nest, used, e.rows, row_stride(x), row_stride(y));
  push_dimension(nest, used, e.pages, page_stride(x), page_stride(y));
  return nest;
}

template <Binary op>
inline void binary_line(std::int64_t count, const float* x, bool x_one, const float* y, bool y_one, Lanes alpha,
                        Lanes beta, float* out) {
  if (x_one) {
    const Lanes a = splat(*x);
    for_lanes(count, [&](std::int64_t i, int n) {
      store_up_to(out + i, apply<op>(a, y_one ? splat(*y) : load_up_to(y + i, n), alpha, beta), n);
    });
  } else if (y_one) {
    const Lanes b = splat(*y);
    for_lanes(count,
              [&](std::int64_t i, int n) { store_up_to(out + i, apply<op>(load_up_to(x + i, n), b, alpha, beta), n); });
  } else {
    for_lanes(count, [&](std::int64_t i, int n) {
      store_up_to(out + i, apply<op>(load_up_to(x + i, n), load_up_to(y + i, n), alpha, beta), n);
    });
  }
}

template <Binary op>
inline void binary_nest(const Nest& nest, const float* x, const float* y, float alpha, float beta, float* out) {
  const Lanes a = splat(alpha);
  const Lanes b = splat(beta);
  for (std::int64_t i = 0; i < nest.extent[2]; ++i) {
    for (std::int64_t j = 0; j < nest.extent[1]; ++j) {
      binary_line<op>(nest.extent[0], x + i * nest.x_stride[2] + j * nest.x_stride[1], nest.x_stride[0] == 0,
                      y + i * nest.y_stride[2] + j * nest.y_stride[1], nest.y_stride[0] == 0, a, b, out);
      out += nest.extent[0];
    }
  }
}

void binary(Binary op, float alpha, float beta, Extent extent, Operand x, Operand y, float* out) {
  const Nest nest = make_nest(extent, x, y);
  const auto run = [&](auto kernel) { kernel(nest, x.data, y.data, alpha, beta, out); };
  switch (op) {
    case Binary::kMultiply:
      return run(binary_nest<Binary::kMultiply>);
    case Binary::kAdd:
      return run(binary_nest<Binary::kAdd>);
    case Binary::kMaximum:
      return run(binary_nest<Binary::kMaximum>);
    case Binary::kMinimum:
      return run(binary_nest<Binary::kMinimum>);
    case Binary::kWhereEqual:
      return run(binary_nest<Binary::kWhereEqual>);
    case Binary::kWhereNotEqual:
      return run(binary_nest<Binary::kWhereNotEqual>);
    case Binary::kWhereGreater:
      return run(binary_nest<Binary::kWhereGreater>);
    case Binary::kWhereGreaterEqual:
      return run(binary_nest<Binary::kWhereGreaterEqual>);
    case Binary::kWhereLess:
      return run(binary_nest<Binary::kWhereLess>);
    case Binary::kWhereLessEqual:
      return run(binary_nest<Binary::kWhereLessEqual>);
  }
}

inline Lanes apply(Unary op, Lanes x, Lanes alpha, Lanes beta) {
  const Lanes one = splat(1.0F);
  const Lanes affine = fma(beta, x, alpha);
  switch (op) {
    case Unary::kRelu:
      return select(greater_equal(x, alpha), x, beta);
    case Unary::kSigmoid:
      return one / (one + exponential(affine));
    case Unary::kSilu:
      return x / (one + exponential(affine));
    case Unary::kAddMul:
      return affine;
    case Unary::kAbs:
      return absolute(affine);
    case Unary::kLog:
      return logarithm(affine);
    case Unary::kExp:
      return exponential(affine);
  }
  return affine;
}

void unary(Unary op, float alpha, float beta, std::int64_t count, const float* x, float* out) {
  const Lanes a = splat(alpha);
  const Lanes b = splat(beta);
  for_lanes(count, [&](std::int64_t i, int n) { store_up_to(out + i, apply(op, load_up_to(x + i, n), a, b), n); });
}

// Reductions run on values `step` adds to a state; `finish` turns the state of `count` elements into the result.
template <Reduction op>
inline Lanes first(Lanes x) {
  return op == Reduction::kL2Norm ? x * x : x;
}
template <Reduction op>
inline Lanes step(Lanes state, Lanes x) {
  switch (op) {
    case Reduction::kMax:
      return maximum(state, x);
    case Reduction::kMin:
      return minimum(state, x);
    case Reduction::kL2Norm:
      return fma(x, x, state);
    case Reduction::kMean:
    case Reduction::kSum:
      break;
  }
  return state + x;
}
template <Reduction op>
inline Lanes combine(Lanes a, Lanes b) {
  return op == Reduction::kMax ? maximum(a, b) : op == Reduction::kMin ? minimum(a, b) : a + b;
}
template <Reduction op>
inline Lanes finish(Lanes state, std::int64_t count) {
  if (op == Reduction::kMean) { return state / splat(static_cast<float>(count)); }
  return op == Reduction::kL2Norm ? square_root(state) : state;
}

// The same on single numbers, for short lines.
template <Reduction op>
inline float step_one(float state, float x) {
  if (op == Reduction::kMax) { return state > x || state != state ? state : x; }
  if (op == Reduction::kMin) { return x > state || state != state ? state : x; }
  return op == Reduction::kL2Norm ? __builtin_fmaf(x, x, state) : state + x;
}
template <Reduction op>
inline float finish_one(float state, std::int64_t count) {
  if (op == Reduction::kMean) { return state / static_cast<float>(count); }
  return op == Reduction::kL2Norm ? __builtin_sqrtf(state) : state;
}

template <Reduction op>
inline float reduce_line(const float* x, int count) {
  if (count < kLanes) {
    float state = op == Reduction::kL2Norm ? x[0] * x[0] : x[0];
    for (int i = 1; i < count; ++i) { state = step_one<op>(state, x[i]); }
    return finish_one<op>(state, count);
  }
  constexpr bool kExtreme = op == Reduction::kMax || op == Reduction::kMin;
  Lanes state = first<op>(load(x));
  int i = kLanes;
  for (; i + kLanes <= count; i += kLanes) { state = step<op>(state, load(x + i)); }
  if (i < count) {
    // an extreme may look at elements twice; a sum takes zeros for the missing ones
    state = step<op>(state, kExtreme ? load(x + count - kLanes) : load_n(x + i, count - i));
  }
  if (!kExtreme) { return finish_one<op>(sum(state), count); }
  float lanes[kLanes];
  store(lanes, state);
  float result = lanes[0];
  for (int j = 1; j < kLanes; ++j) { result = step_one<op>(result, lanes[j]); }
  return result;
}

template <Reduction op>
inline void reduce_cols_of(Extent e, int group, const float* x, float* out) {
  const std::int64_t lines = e.pages * e.rows * (e.cols / group);
  for (std::int64_t i = 0; i < lines; ++i) { out[i] = reduce_line<op>(x + i * group, group); }
}

template <Reduction op>
inline void reduce_rows_of(Extent e, int group, const float* x, float* out) {
  if (e.cols == 1) {
    reduce_cols_of<op>({e.pages, 1, e.rows}, group, x, out);
    return;
  }
  const std::int64_t blocks = e.pages * (e.rows / group);
  for (std::int64_t block = 0; block < blocks; ++block) {
    const float* from = x + block * group * e.cols;
    for_lanes(e.cols, [&](std::int64_t c, int n) {
      Lanes state = first<op>(load_up_to(from + c, n));
      for (int r = 1; r < group; ++r) { state = step<op>(state, load_up_to(from + r * e.cols + c, n)); }
      store_up_to(out + block * e.cols + c, finish<op>(state, group), n);
    });
  }
}

template <typename Run>
inline void for_reduction(Reduction op, Run&& run) {
  switch (op) {
    case Reduction::kMean:
      return run.template operator()<Reduction::kMean>();
    case Reduction::kMax:
      return run.template operator()<Reduction::kMax>();
    case Reduction::kMin:
      return run.template operator()<Reduction::kMin>();
    case Reduction::kSum:
      return run.template operator()<Reduction::kSum>();
    case Reduction::kL2Norm:
      return run.template operator()<Reduction::kL2Norm>();
  }
}

void reduce_rows(Reduction op, Extent extent, int group, const float* x, float* out) {
  for_reduction(op, [&]<Reduction kind>() { reduce_rows_of<kind>(extent, group, x, out); });
}

void reduce_cols(Reduction op, Extent extent, int group, const float* x, float* out) {
  for_reduction(op, [&]<Reduction kind>() { reduce_cols_of<kind>(extent, group, x, out); });
}

// A line of each operand; operands with one row repeat it.
struct Lines {
  const Operand (&operands)[2];
  const float* line(int which, std::int64_t page, int row) const {
    const Operand& a = operands[which];
    return a.data + page * page_stride(a) + row * row_stride(a);
  }
};

template <Binary bound, Reduction op>
inline void reduce_bound_of(Extent e, int group, const Lines& left, const Lines& right, float* out) {
  const Lanes unused = splat(0.0F);
  for (std::int64_t page = 0; page < e.pages; ++page) {
    for (int row = 0; row < e.rows; ++row) {
      const float* const a = left.line(0, page, row);
      const float* const b = left.line(1, page, row);
      const float* const c = right.line(0, page, row);
      const float* const d = right.line(1, page, row);
      const auto at = [&](int i) {
        return apply<bound>(load(a + i) * load(b + i), load(c + i) * load(d + i), unused, unused);
      };
      for (int first = 0; first < e.cols; first += group) {
        Lanes state = at(first);
        for (int i = first + kLanes; i < first + group; i += kLanes) { state = state + at(i); }
        *out++ = finish_one<op>(sum(state), group);
      }
    }
  }
}

void reduce_bound(Binary bound, Reduction op, Extent e, int group, const Operand (&left)[2], const Operand (&right)[2],
                  float* out) {
  const bool mean = op == Reduction::kMean;
  const auto run = [&](auto kernel) { kernel(e, group, Lines{left}, Lines{right}, out); };
  if (bound == Binary::kMaximum) {
    mean ? run(reduce_bound_of<Binary::kMaximum, Reduction::kMean>)
         : run(reduce_bound_of<Binary::kMaximum, Reduction::kSum>);
  } else {
    mean ? run(reduce_bound_of<Binary::kMinimum, Reduction::kMean>)
         : run(reduce_bound_of<Binary::kMinimum, Reduction::kSum>);
  }
}

inline float dot(const float* x, const float* y, int count) {
  if (count < kLanes) {
    float state = 0.0F;
    for (int i = 0; i < count; ++i) { state = __builtin_fmaf(x[i], y[i], state); }
    return state;
  }
  Lanes state = splat(0.0F);
  for_lanes(count, [&](std::int64_t i, int n) { state = fma(load_up_to(x + i, n), load_up_to(y + i, n), state); });
  return sum(state);
}

void gemm(std::int64_t pages, Operand x, Operand y, float* out) {
  for (std::int64_t p = 0; p < pages; ++p) {
    const float* xp = x.data + p * page_stride(x);
    const float* yp = y.data + p * page_stride(y);
    for (int a = 0; a < y.rows; ++a) {
      for (int b = 0; b < x.rows; ++b) { *out++ = dot(xp + b * x.cols, yp + a * y.cols, x.cols); }
    }
  }
}

// One output row of a Kron: x_row times y_row along columns.
inline void kron_line(bool multiply_cols, const float* x, int x_cols, const float* y, int y_cols, float* out) {
  const Lanes one = splat(1.0F);
  if (!multiply_cols) {
    binary_line<Binary::kMultiply>(x_cols > y_cols ? x_cols : y_cols, x, x_cols == 1, y, y_cols == 1, one, one, out);
    return;
  }
  for (int k = 0; k < x_cols; ++k) {
    binary_line<Binary::kMultiply>(y_cols, x + k, true, y, y_cols == 1, one, one, out + k * y_cols);
  }
}

void kron(std::int64_t pages, unsigned axes, Operand x, Operand y, float* out) {
  const bool multiply_rows = (axes & 1U) != 0;
  const bool multiply_cols = (axes & 2U) != 0;
  const int rows = multiply_rows ? x.rows * y.rows : (x.rows > y.rows ? x.rows : y.rows);
  const int cols = multiply_cols ? x.cols * y.cols : (x.cols > y.cols ? x.cols : y.cols);
  for (std::int64_t p = 0; p < pages; ++p) {
    const float* xp = x.data + p * page_stride(x);
    const float* yp = y.data + p * page_stride(y);
    for (int r = 0; r < rows; ++r) {
      const int i = multiply_rows ? r / y.rows : (x.rows == 1 ? 0 : r);
      const int j = multiply_rows ? r % y.rows : (y.rows == 1 ? 0 : r);
      kron_line(multiply_cols, xp + i * x.cols, x.cols, yp + j * y.cols, y.cols, out);
      out += cols;
    }
  }
}

void transpose(Extent e, const float* x, float* out) {
  for (std::int64_t p = 0; p < e.pages; ++p, x += e.size(), out += e.size()) {
    for (int c = 0; c < e.cols; ++c) {
      for (int r = 0; r < e.rows; ++r) { out[c * e.rows + r] = x[r * e.cols + c]; }
    }
  }
}

constexpr std::int64_t kPageLanes = 16;  // accumulators of a reduction over pages

// Calls body(offset, count) for the elements of every 16 pages; `offset` is where they start.
template <typename Body>
inline void for_page_blocks(std::int64_t pages, std::int64_t size, Body&& body) {
  const std::int64_t total = pages * size;
  for (std::int64_t offset = 0; offset < total; offset += kPageLanes * size) {
    body(offset, total - offset < kPageLanes * size ? total - offset : kPageLanes * size);
  }
}

// state[16][size] of the elements; the first block initialises. Fewer than 16 pages leave accumulators unused.
template <Reduction op>
inline void accumulate_pages(std::int64_t pages, std::int64_t size, const float* x, float* state) {
  for_page_blocks(pages, size, [&](std::int64_t offset, std::int64_t count) {
    for_lanes(count, [&](std::int64_t i, int n) {
      const Lanes v = load_up_to(x + offset + i, n);
      store_up_to(state + i, offset == 0 ? first<op>(v) : step<op>(load_up_to(state + i, n), v), n);
    });
  });
}

// Folds state[16][size] to state[0]; accumulators from `pages` on are left out.
template <Reduction op>
inline void fold_pages(std::int64_t pages, std::int64_t size, float* state) {
  for (std::int64_t width = kPageLanes / 2; width > 0; width /= 2) {
    const std::int64_t used = pages < 2 * width ? pages - width : width;  // accumulators that have a partner
    if (used > 0) {
      for_lanes(used * size, [&](std::int64_t i, int n) {
        const Lanes folded = combine<op>(load_up_to(state + i, n), load_up_to(state + width * size + i, n));
        store_up_to(state + i, folded, n);
      });
    }
  }
}

template <Reduction op>
inline void reduce_pages_of(std::int64_t pages, std::int64_t size, const float* x, float* out, float* state) {
  if (pages == 0) {
    for (std::int64_t i = 0; i < size; ++i) { out[i] = 0.0F; }
    return;
  }
  accumulate_pages<op>(pages, size, x, state);
  fold_pages<op>(pages, size, state);
  for_lanes(size, [&](std::int64_t i, int n) { store_up_to(out + i, finish<op>(load_up_to(state + i, n), pages), n); });
}

void reduce_pages(Reduction op, std::int64_t pages, std::int64_t size, const float* x, float* out, float* scratch) {
  for_reduction(op, [&]<Reduction kind>() { reduce_pages_of<kind>(pages, size, x, out, scratch); });
}

// state[0] repeated 16 times, so that a block of 16 pages can be combined with it element by element.
inline void repeat(std::int64_t size, float* state) {
  for (std::int64_t i = size; i < kPageLanes * size; ++i) { state[i] = state[i - size]; }
}

inline void softmax_pages(float scale, std::int64_t pages, std::int64_t size, const float* x, float* out,
                          float* scratch) {
  if (pages == 0) { return; }
  const Lanes factor = splat(scale);
  float* top = scratch;
  float* total = scratch + kPageLanes * size;
  for_lanes(pages * size, [&](std::int64_t i, int n) { store_up_to(out + i, load_up_to(x + i, n) * factor, n); });
  accumulate_pages<Reduction::kMax>(pages, size, out, top);
  fold_pages<Reduction::kMax>(pages, size, top);
  repeat(size, top);
  for_page_blocks(pages, size, [&](std::int64_t offset, std::int64_t count) {
    for_lanes(count, [&](std::int64_t i, int n) {
      float* at = out + offset + i;
      store_up_to(at, exponential(load_up_to(at, n) - load_up_to(top + i, n)), n);
    });
  });
  accumulate_pages<Reduction::kSum>(pages, size, out, total);
  fold_pages<Reduction::kSum>(pages, size, total);
  repeat(size, total);
  for_page_blocks(pages, size, [&](std::int64_t offset, std::int64_t count) {
    for_lanes(count, [&](std::int64_t i, int n) {
      float* at = out + offset + i;
      store_up_to(at, load_up_to(at, n) / load_up_to(total + i, n), n);
    });
  });
}

inline void normalize_pages(std::int64_t pages, std::int64_t size, const float* x, float* out, float* scratch) {
  if (pages == 0) { return; }
  accumulate_pages<Reduction::kL2Norm>(pages, size, x, scratch);
  fold_pages<Reduction::kL2Norm>(pages, size, scratch);
  for_lanes(size, [&](std::int64_t i, int n) {
    const Lanes norm = maximum(square_root(load_up_to(scratch + i, n)), splat(1e-12F));
    store_up_to(scratch + i, norm, n);
  });
  repeat(size, scratch);
  for_page_blocks(pages, size, [&](std::int64_t offset, std::int64_t count) {
    for_lanes(count, [&](std::int64_t i, int n) {
      store_up_to(out + offset + i, load_up_to(x + offset + i, n) / load_up_to(scratch + i, n), n);
    });
  });
}

inline void convolve_pages(int taps, const float* weight, std::int64_t pages, std::int64_t size, const float* x,
                           float* out) {
  for (std::int64_t p = 0; p < pages; ++p) {
    const int used = p + 1 < taps ? static_cast<int>(p + 1) : taps;
    for_lanes(size, [&](std::int64_t i, int n) {
      Lanes state = splat(0.0F);
      for (int t = 0; t < used; ++t) {
        state = fma(load_up_to(weight + t * size + i, n), load_up_to(x + (p - t) * size + i, n), state);
      }
      store_up_to(out + p * size + i, state, n);
    });
  }
}

void transform_pages(PageTransform op, const PageArgs& args, std::int64_t pages, std::int64_t size, const float* x,
                     float* out, float* scratch) {
  switch (op) {
    case PageTransform::kSoftmax:
      return softmax_pages(args.scale, pages, size, x, out, scratch);
    case PageTransform::kNormalize:
      return normalize_pages(pages, size, x, out, scratch);
    case PageTransform::kConvolve:
      return convolve_pages(args.taps, args.weight, pages, size, x, out);
  }
}

void round_to_bf16_all(std::int64_t count, const float* x, float* out) {
  for_lanes(count, [&](std::int64_t i, int n) { store_up_to(out + i, round_bf16(load_up_to(x + i, n)), n); });
}

void from_bf16(std::int64_t count, const Bf16* x, float* out) {
  for_lanes(count, [&](std::int64_t i, int n) {
    store_up_to(out + i, n == kLanes ? load_bf16(x + i) : load_bf16_n(x + i, n), n);
  });
}

void to_bf16(std::int64_t count, const float* x, Bf16* out) {
  for_lanes(count, [&](std::int64_t i, int n) {
    if (n == kLanes) {
      store_bf16(out + i, load(x + i));
    } else {
      store_bf16_n(out + i, load_n(x + i, n), n);
    }
  });
}

constexpr VectorKernels kKernels = {binary, unary,     reduce_rows,  reduce_cols,     reduce_bound,      gemm,
                                    kron,   transpose, reduce_pages, transform_pages, round_to_bf16_all, from_bf16,
                                    to_bf16};

}  // namespace
}  // namespace vortex::cpu
