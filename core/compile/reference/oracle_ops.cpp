// What every operation computes, each with the bound of what float32 may make of it right below.

#include "core/compile/reference/oracle_ops.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/tensor/vtensor.h"
#include "core/vflow/graph/op_table.h"

namespace vortex::compile {

using at::Tensor;
using vflow::Node;
using vflow::Op;

namespace {

constexpr double kMasked = -1e30;       // what Where* gives where its predicate fails
constexpr double kUnit = 0x1.0p-24;     // u
constexpr double kSmallest = 1e-37;     // float32 results below this may be flushed or denormal
constexpr double kLargest = 3.3e38;     // beyond it float32 may overflow
constexpr double kSquaresLost = 1e-18;  // a norm whose squares fell below float32's range
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Call {
  const Node& node;
  const std::vector<Tensor>& in;
  const OpContext& context;

  const Tensor& x() const { return in[0]; }
  const Tensor& y() const { return in[1]; }
  double alpha() const { return static_cast<double>(static_cast<float>(node.attrs.alpha)); }
  double beta() const { return static_cast<double>(static_cast<float>(node.attrs.beta)); }
  double scale() const { return static_cast<double>(static_cast<float>(node.attrs.scale)); }
};

// The same with how far each operand may be off, and the exact result.
struct BoundCall : Call {
  const std::vector<Tensor>& e;
  const Tensor& out;
};

using Value = Tensor (*)(const Call&);
using Bound = Tensor (*)(const BoundCall&);

Tensor infinite(const Tensor& like) { return at::full({}, kInfinity, like.options()); }

// Error of a product of two uncertain factors, before rounding.
Tensor product_error(const Tensor& x, const Tensor& ex, const Tensor& y, const Tensor& ey) {
  return x.abs() * ey + y.abs() * ex + ex * ey;
}

// max(|f(v + e) - f(v)|, |f(v - e) - f(v)|) for a monotonic f.
template <typename Function>
Tensor monotonic_error(const Tensor& v, const Tensor& e, Function&& f) {
  const Tensor at_value = f(v);
  return at::maximum((f(v + e) - at_value).abs(), (f(v - e) - at_value).abs());
}

// ---- Products

Tensor gemm(const Call& c) { return at::matmul(c.y(), c.x().transpose(1, 2)); }
Tensor gemm_bound(const BoundCall& c) {
  const Tensor xt = c.x().abs().transpose(1, 2);
  const Tensor et = c.e[0].transpose(1, 2);
  const Tensor y = c.y().abs();
  const double terms = static_cast<double>(c.x().size(2)) + 1;
  return at::matmul(y, et) + at::matmul(c.e[1], xt) + at::matmul(c.e[1], et) + at::matmul(y, xt) * (terms * kUnit) +
         kSmallest;
}

Tensor kron_of(const Node& node, const Tensor& x, const Tensor& y) {
  const bool rows = (node.attrs.kron_axes & 1U) != 0;
  const bool cols = (node.attrs.kron_axes & 2U) != 0;
  // [s, i, 1, k, 1] times [s, 1, j, 1, l] where an axis multiplies; aligned where it broadcasts
  Tensor a = rows ? x.unsqueeze(2) : x.unsqueeze(1);
  Tensor b = y.unsqueeze(1);
  a = cols ? a.unsqueeze(4) : a.unsqueeze(3);
  b = b.unsqueeze(3);
  const Tensor product = a * b;
  return product.reshape({product.size(0), node.shape.rows, node.shape.cols});
}
Tensor kron(const Call& c) { return kron_of(c.node, c.x(), c.y()); }
// A Kron of absolute values and errors has the layout of the Kron itself.
Tensor kron_bound(const BoundCall& c) {
  return kron_of(c.node, c.x().abs(), c.e[1]) + kron_of(c.node, c.e[0], c.y().abs()) + kron_of(c.node, c.e[0], c.e[1]) +
         c.out.abs() * kUnit + kSmallest;
}

// ---- Reductions: along a dimension that is kept as 1, of groups along it, or over the middle of a row

struct Reduction {
  Tensor (*value)(const Tensor& x, int64_t dim);
  Tensor (*bound)(const Tensor& x, const Tensor& e, int64_t dim);
};

Tensor widest_error(const Tensor&, const Tensor& e, int64_t dim) { return e.amax(dim, true); }

Tensor sum_error(const Tensor& x, const Tensor& e, int64_t dim) {
  return e.sum(dim, true) + x.abs().sum(dim, true) * (static_cast<double>(x.size(dim)) * kUnit);
}

Tensor mean_error(const Tensor& x, const Tensor& e, int64_t dim) {
  return sum_error(x, e, dim) / static_cast<double>(x.size(dim)) + x.mean(dim, true).abs() * kUnit;
}

Tensor norm(const Tensor& x, int64_t dim) { return x.square().sum(dim, true).sqrt(); }
Tensor norm_error(const Tensor& x, const Tensor& e, int64_t dim) {
  const Tensor value = norm(x, dim);
  const Tensor overflow = (value > 1e19).to(x.scalar_type());
  return norm(e, dim) + value * ((static_cast<double>(x.size(dim)) + 2) * kUnit) + kSquaresLost +
         at::where(overflow > 0, infinite(x), at::zeros_like(value));
}

constexpr Reduction kMean = {[](const Tensor& x, int64_t dim) { return x.mean(dim, true); }, mean_error};
constexpr Reduction kMax = {[](const Tensor& x, int64_t dim) { return x.amax(dim, true); }, widest_error};
constexpr Reduction kMin = {[](const Tensor& x, int64_t dim) { return x.amin(dim, true); }, widest_error};
constexpr Reduction kSum = {[](const Tensor& x, int64_t dim) { return x.sum(dim, true); }, sum_error};
constexpr Reduction kNorm = {norm, norm_error};

Tensor middle_of(const Tensor& x, const OpContext& context) {
  return x.slice(0, std::min<int64_t>(context.bos, x.size(0)));
}
Tensor nothing_like(const Tensor& x) { return at::zeros({1, x.size(1), x.size(2)}, x.options()); }

template <const Reduction& reduction>
Tensor reduce(const Call& c) {
  if (c.node.attrs.dim != 0) { return reduction.value(c.x(), c.node.attrs.dim); }
  const Tensor middle = middle_of(c.x(), c.context);
  return middle.size(0) == 0 ? nothing_like(c.x()) : reduction.value(middle, 0);
}
template <const Reduction& reduction>
Tensor reduce_bound(const BoundCall& c) {
  if (c.node.attrs.dim != 0) { return reduction.bound(c.x(), c.e[0], c.node.attrs.dim); }
  const Tensor middle = middle_of(c.x(), c.context);
  return middle.size(0) == 0 ? nothing_like(c.x()) : reduction.bound(middle, middle_of(c.e[0], c.context), 0);
}

// Groups of k consecutive elements along the dim become a dimension of their own behind it.
Tensor grouped(const Node& node, const Tensor& x) {
  const int64_t dim = node.attrs.dim;
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[static_cast<size_t>(dim)] /= node.attrs.k;
  sizes.insert(sizes.begin() + dim + 1, node.attrs.k);
  return x.reshape(sizes);
}
template <const Reduction& reduction>
Tensor interleave(const Call& c) {
  const int64_t dim = c.node.attrs.dim + 1;
  return reduction.value(grouped(c.node, c.x()), dim).squeeze(dim);
}
template <const Reduction& reduction>
Tensor interleave_bound(const BoundCall& c) {
  const int64_t dim = c.node.attrs.dim + 1;
  return reduction.bound(grouped(c.node, c.x()), grouped(c.node, c.e[0]), dim).squeeze(dim);
}

// ---- Over the middle of a row; the first pages, or all, are copied

struct PageTransform {
  Tensor (*value)(const Call& c, const Tensor& middle);
  Tensor (*bound)(const Call& c, const Tensor& middle, const Tensor& e, const Tensor& out);
};

int64_t first_changed(const Call& c) {
  return c.context.copy_over_rows ? c.x().size(0) : std::min<int64_t>(c.context.bos, c.x().size(0));
}
template <const PageTransform& transform>
Tensor over_middle(const Call& c) {
  const int64_t first = first_changed(c);
  const Tensor middle = c.x().slice(0, first);
  if (middle.size(0) == 0) { return c.x().clone(); }
  return at::cat({c.x().slice(0, 0, first), transform.value(c, middle)}, 0);
}
template <const PageTransform& transform>
Tensor over_middle_bound(const BoundCall& c) {
  const int64_t first = first_changed(c);
  const Tensor middle = c.x().slice(0, first);
  if (middle.size(0) == 0) { return c.e[0].clone(); }
  const Tensor bound = transform.bound(c, middle, c.e[0].slice(0, first), c.out.slice(0, first));
  return at::cat({c.e[0].slice(0, 0, first), bound}, 0);
}

Tensor softmax(const Call& c, const Tensor& x) { return at::softmax(x * c.scale(), 0); }
Tensor softmax_bound(const Call& c, const Tensor& x, const Tensor& e, const Tensor& y) {
  const Tensor z = x * c.scale();
  const Tensor below = (z - z.amax(0, true)).abs();
  const Tensor d = e * std::abs(c.scale()) + (z.abs() + below) * (2 * kUnit);
  const double terms = static_cast<double>(x.size(0)) + 10;
  return y * ((d + d.amax(0, true)).expm1() + terms * kUnit) + kSmallest;
}
constexpr PageTransform kSoftmax = {softmax, softmax_bound};

Tensor normalize(const Call&, const Tensor& x) { return x / norm(x, 0).clamp_min(1e-12); }
Tensor normalize_bound(const Call&, const Tensor& x, const Tensor& e, const Tensor& y) {
  const Tensor error = norm_error(x, e, 0);
  const Tensor divisor = norm(x, 0).clamp_min(1e-12);
  const Tensor low = (divisor - error).clamp_min(0.99e-12);
  return (e + x.abs() * error / divisor) / low + y.abs() * (3 * kUnit) + kSmallest;
}
constexpr PageTransform kNormalize = {normalize, normalize_bound};

// The weight [taps, rows, cols] in bfloat16 values.
Tensor weight_of(const Call& c) {
  const vflow::Constant& constant = c.context.program->constants[static_cast<size_t>(c.node.attrs.constant)];
  const Tensor all = at::tensor(constant.data).reshape({constant.dims[0], constant.dims[1], constant.dims[2]});
  return tensor::round_to(all, vflow::Dtype::kBf16).to(c.x().scalar_type());
}
Tensor convolve(const Tensor& x, const Tensor& weight) {
  Tensor y = at::zeros_like(x);
  const int64_t pages = x.size(0);
  for (int64_t t = 0; t < std::min(weight.size(0), pages); ++t) {
    y.slice(0, t).add_(weight[t] * x.slice(0, 0, pages - t));
  }
  return y;
}
Tensor convolved(const Call& c, const Tensor& x) { return convolve(x, weight_of(c)); }
Tensor convolved_bound(const Call& c, const Tensor& x, const Tensor& e, const Tensor&) {
  const Tensor weight = weight_of(c);
  const double unit = (static_cast<double>(weight.size(0)) + 1) * kUnit;
  return convolve(e + x.abs() * unit, weight.abs()) + kSmallest;
}
constexpr PageTransform kConvolve = {convolved, convolved_bound};

// ---- Two operands, element by element

Tensor multiply(const Call& c) { return c.x() * c.y(); }
Tensor multiply_bound(const BoundCall& c) {
  return product_error(c.x(), c.e[0], c.y(), c.e[1]) + c.out.abs() * kUnit + kSmallest;
}

Tensor add(const Call& c) { return c.x() * c.alpha() + c.y() * c.beta(); }
Tensor add_bound(const BoundCall& c) {
  return c.e[0] * std::abs(c.alpha()) + c.e[1] * std::abs(c.beta()) + ((c.y() * c.beta()).abs() + c.out.abs()) * kUnit;
}

Tensor maximum(const Call& c) { return at::maximum(c.x(), c.y()); }
Tensor minimum(const Call& c) { return at::minimum(c.x(), c.y()); }
Tensor extreme_bound(const BoundCall& c) { return at::maximum(c.e[0], c.e[1]); }

Tensor where_holds(const Tensor& predicate, const Tensor& like) {
  return at::where(predicate, at::zeros({}, like.options()), at::full({}, static_cast<float>(kMasked), like.options()));
}
Tensor where_equal(const Call& c) { return where_holds(c.x() == c.y(), c.x()); }
Tensor where_not_equal(const Call& c) { return where_holds(c.x() != c.y(), c.x()); }
Tensor where_greater(const Call& c) { return where_holds(c.x() > c.y(), c.x()); }
Tensor where_greater_equal(const Call& c) { return where_holds(c.x() >= c.y(), c.x()); }
Tensor where_less(const Call& c) { return where_holds(c.x() < c.y(), c.x()); }
Tensor where_less_equal(const Call& c) { return where_holds(c.x() <= c.y(), c.x()); }
Tensor where_bound(const BoundCall& c) {
  const Tensor slack = c.e[0] + c.e[1];
  const Tensor uncertain = (c.x() - c.y()).abs().le(slack).logical_and(slack > 0);
  return uncertain.to(c.x().scalar_type()) * -kMasked;
}

// ---- One operand, element by element; most look at beta * x + alpha

Tensor affine(const Call& c) { return c.x() * c.beta() + c.alpha(); }
Tensor affine_bound(const BoundCall& c) {
  const Tensor value = affine(c);
  const bool exact = c.beta() == 1.0 && c.alpha() == 0.0;
  return c.e[0] * std::abs(c.beta()) + (exact ? at::zeros_like(value) : value.abs() * kUnit);
}

Tensor relu(const Call& c) { return at::where(c.x() >= c.alpha(), c.x(), at::full({}, c.beta(), c.x().options())); }
Tensor relu_bound(const BoundCall& c) {
  const Tensor& e = c.e[0];
  const Tensor uncertain = (c.x() - c.alpha()).abs().le(e).logical_and(e > 0);
  const Tensor certain_error = at::where(c.x() >= c.alpha(), e, at::zeros_like(e));
  return at::where(uncertain, at::maximum(e, (c.x() - c.beta()).abs() + e), certain_error);
}

Tensor gate_of(const Tensor& t) { return 1.0 / (1.0 + t.exp()); }
Tensor sigmoid(const Call& c) { return gate_of(affine(c)); }
// Monotonic, at most 1.
Tensor sigmoid_bound(const BoundCall& c) {
  const Tensor t = affine(c);
  return monotonic_error(t, affine_bound(c), gate_of) + gate_of(t) * (8 * kUnit) + kSmallest;
}

Tensor silu(const Call& c) { return c.x() / (1.0 + affine(c).exp()); }
Tensor silu_bound(const BoundCall& c) {
  return product_error(c.x(), c.e[0], sigmoid(c), sigmoid_bound(c)) + c.out.abs() * kUnit;
}

Tensor absolute(const Call& c) { return affine(c).abs(); }

Tensor logarithm(const Call& c) { return affine(c).log(); }
Tensor logarithm_bound(const BoundCall& c) {
  const Tensor t = affine(c);
  const Tensor error = affine_bound(c);
  const Tensor positive = monotonic_error(t, error, [](const Tensor& v) { return v.log(); });
  return at::where(t - error > 0, positive + c.out.abs() * (6 * kUnit), infinite(c.out));
}

Tensor exponential(const Call& c) { return affine(c).exp(); }
Tensor exponential_bound(const BoundCall& c) { return c.out * (affine_bound(c).expm1() + 4 * kUnit) + kSmallest; }

// ---- Layout

Tensor transpose(const Call& c) { return c.x().transpose(1, 2); }
Tensor transpose_bound(const BoundCall& c) { return c.e[0].transpose(1, 2); }

Tensor reshaped(const Node& node, const Tensor& x) { return x.reshape({x.size(0), node.shape.rows, node.shape.cols}); }
Tensor reshape(const Call& c) { return reshaped(c.node, c.x()); }
Tensor reshape_bound(const BoundCall& c) { return reshaped(c.node, c.e[0]); }

Tensor mask(const Call& c) {
  Tensor y = at::full_like(c.x(), c.beta());
  y.slice(c.node.attrs.dim, c.node.attrs.start, c.node.attrs.end).fill_(static_cast<float>(c.node.attrs.alpha));
  return y;
}
Tensor mask_bound(const BoundCall& c) { return at::zeros_like(c.out); }

// One row an Op. Leaves, storage and selections compute nothing: oracle.cpp knows what they are.
struct Row {
  Op op;
  Value value = nullptr;
  Bound bound = nullptr;
};
constexpr std::array kRows = {
    Row{Op::kQuery},
    Row{Op::kField},
    Row{Op::kParameter},
    Row{Op::kGemm, gemm, gemm_bound},
    Row{Op::kGemv, gemm, gemm_bound},
    Row{Op::kKron, kron, kron_bound},
    Row{Op::kMean, reduce<kMean>, reduce_bound<kMean>},
    Row{Op::kMax, reduce<kMax>, reduce_bound<kMax>},
    Row{Op::kMin, reduce<kMin>, reduce_bound<kMin>},
    Row{Op::kSum, reduce<kSum>, reduce_bound<kSum>},
    Row{Op::kL2Norm, reduce<kNorm>, reduce_bound<kNorm>},
    Row{Op::kMeanInterleave, interleave<kMean>, interleave_bound<kMean>},
    Row{Op::kMaxInterleave, interleave<kMax>, interleave_bound<kMax>},
    Row{Op::kMinInterleave, interleave<kMin>, interleave_bound<kMin>},
    Row{Op::kL2NormInterleave, interleave<kNorm>, interleave_bound<kNorm>},
    Row{Op::kSoftmax, over_middle<kSoftmax>, over_middle_bound<kSoftmax>},
    Row{Op::kNormalize, over_middle<kNormalize>, over_middle_bound<kNormalize>},
    Row{Op::kConv1d, over_middle<kConvolve>, over_middle_bound<kConvolve>},
    Row{Op::kMultiply, multiply, multiply_bound},
    Row{Op::kAdd, add, add_bound},
    Row{Op::kMaximum, maximum, extreme_bound},
    Row{Op::kMinimum, minimum, extreme_bound},
    Row{Op::kWhereEqual, where_equal, where_bound},
    Row{Op::kWhereNotEqual, where_not_equal, where_bound},
    Row{Op::kWhereGreater, where_greater, where_bound},
    Row{Op::kWhereGreaterEqual, where_greater_equal, where_bound},
    Row{Op::kWhereLess, where_less, where_bound},
    Row{Op::kWhereLessEqual, where_less_equal, where_bound},
    Row{Op::kRelu, relu, relu_bound},
    Row{Op::kSigmoid, sigmoid, sigmoid_bound},
    Row{Op::kSilu, silu, silu_bound},
    Row{Op::kAddMul, affine, affine_bound},
    Row{Op::kAbs, absolute, affine_bound},
    Row{Op::kLog, logarithm, logarithm_bound},
    Row{Op::kExp, exponential, exponential_bound},
    Row{Op::kTranspose, transpose, transpose_bound},
    Row{Op::kReshape, reshape, reshape_bound},
    Row{Op::kMaskSlice, mask, mask_bound},
    Row{Op::kLoad},
    Row{Op::kSave},
    Row{Op::kStore},
    Row{Op::kFill},
    Row{Op::kTopK},
    Row{Op::kApproxTopK},
    Row{Op::kTopKTable},
    Row{Op::kUnion},
};
static_assert(vflow::has_a_row_for_every_op(kRows), "an operation has no row here, or rows are not in the order of Op");

const Row& row_of(const Node& node) { return kRows[static_cast<size_t>(node.op)]; }

// A promise is made only where value and bound are ordinary numbers that float32 can hold.
Tensor finite_or_infinite(const Tensor& value, const Tensor& error) {
  const Tensor ordinary = (value.abs() + error) < kLargest;
  return at::where(ordinary, error, infinite(error));
}

}  // namespace

Tensor oracle_op(const Node& node, const std::vector<Tensor>& inputs, const OpContext& context) {
  return row_of(node).value({node, inputs, context});
}

Tensor error_bound(const Node& node, const std::vector<Tensor>& inputs, const std::vector<Tensor>& errors,
                   const Tensor& output, const OpContext& context) {
  return finite_or_infinite(output, row_of(node).bound({{node, inputs, context}, errors, output}));
}

Tensor rounded_error(const Tensor& value, const Tensor& error, vflow::Dtype dtype) {
  const Tensor bound = monotonic_error(value, error, [&](const Tensor& v) { return tensor::round_to(v, dtype); });
  return finite_or_infinite(value, bound);
}

Tensor parameter_matrix(const vflow::Constant& constant, int layer, at::ScalarType type) {
  int index = layer;
  if (!constant.layer_lookup.empty()) {
    const auto last = static_cast<int>(constant.layer_lookup.size()) - 1;
    index = constant.layer_lookup[static_cast<size_t>(std::clamp(layer, 0, last))];
  }
  index = std::clamp(index, 0, constant.dims[0] - 1);
  const Tensor all = at::tensor(constant.data).reshape({constant.dims[0], constant.dims[1], constant.dims[2]});
  return tensor::round_to(all.narrow(0, index, 1), vflow::Dtype::kBf16).to(type);
}

}  // namespace vortex::compile
