#include "core/compile/reference/error_bound.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "core/tensor/vtensor.h"

namespace vortex::compile {

using at::Tensor;
using vflow::Node;
using vflow::Op;

namespace {

constexpr double kUnit = 0x1.0p-24;
constexpr double kSmallest = 1e-37;     // float32 results below this may be flushed or denormal
constexpr double kLargest = 3.3e38;     // beyond it float32 may overflow
constexpr double kMasked = 1e30;        // distance of the two results of Where*
constexpr double kSquaresLost = 1e-18;  // a norm whose squares fell below float32's range
const double kInfinity = std::numeric_limits<double>::infinity();

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

struct Affine {
  Tensor value;
  Tensor error;
};

Affine affine(const Node& node, const Tensor& x, const Tensor& e) {
  const auto alpha = static_cast<double>(static_cast<float>(node.attrs.alpha));
  const auto beta = static_cast<double>(static_cast<float>(node.attrs.beta));
  const Tensor value = x * beta + alpha;
  const bool exact = beta == 1.0 && alpha == 0.0;
  return {value, e * std::abs(beta) + (exact ? at::zeros_like(value) : value.abs() * kUnit)};
}

// The same affine map, sigmoid-shaped: monotonic, at most 1.
Tensor gate_error(const Affine& t, const Tensor& gate) {
  const auto sigmoid = [](const Tensor& v) { return 1.0 / (1.0 + v.exp()); };
  return monotonic_error(t.value, t.error, sigmoid) + gate * (8 * kUnit) + kSmallest;
}

Tensor log_error(const Affine& t, const Tensor& output) {
  const Tensor low = t.value - t.error;
  const Tensor positive = monotonic_error(t.value, t.error, [](const Tensor& v) { return v.log(); });
  return at::where(low > 0, positive + output.abs() * (6 * kUnit), at::full({}, kInfinity, output.options()));
}

Tensor relu_error(const Node& node, const Tensor& x, const Tensor& e) {
  const auto alpha = static_cast<double>(static_cast<float>(node.attrs.alpha));
  const auto beta = static_cast<double>(static_cast<float>(node.attrs.beta));
  const Tensor uncertain = (x - alpha).abs().le(e).logical_and(e > 0);
  const Tensor certain_error = at::where(x >= alpha, e, at::zeros_like(e));
  return at::where(uncertain, at::maximum(e, (x - beta).abs() + e), certain_error);
}

Tensor unary_error(const Node& node, const Tensor& x, const Tensor& e, const Tensor& output) {
  const Affine t = affine(node, x, e);
  switch (node.op) {
    case Op::kRelu:
      return relu_error(node, x, e);
    case Op::kSigmoid:
      return gate_error(t, output);
    case Op::kSilu: {
      const Tensor gate = 1.0 / (1.0 + t.value.exp());
      return product_error(x, e, gate, gate_error(t, gate)) + output.abs() * kUnit;
    }
    case Op::kLog:
      return log_error(t, output);
    case Op::kExp:
      return output * (t.error.expm1() + 4 * kUnit) + kSmallest;
    default:
      return t.error;
  }
}

Tensor where_error(const Tensor& x, const Tensor& ex, const Tensor& y, const Tensor& ey) {
  const Tensor slack = ex + ey;
  const Tensor uncertain = (x - y).abs().le(slack).logical_and(slack > 0);
  return uncertain.to(x.scalar_type()) * kMasked;
}

Tensor binary_error(const Node& node, const Tensor& x, const Tensor& ex, const Tensor& y, const Tensor& ey,
                    const Tensor& output) {
  const auto alpha = static_cast<double>(static_cast<float>(node.attrs.alpha));
  const auto beta = static_cast<double>(static_cast<float>(node.attrs.beta));
  switch (node.op) {
    case Op::kMultiply:
      return product_error(x, ex, y, ey) + output.abs() * kUnit + kSmallest;
    case Op::kAdd:
      return ex * std::abs(alpha) + ey * std::abs(beta) + ((y * beta).abs() + output.abs()) * kUnit;
    case Op::kMaximum:
    case Op::kMinimum:
      return at::maximum(ex, ey);
    default:
      return where_error(x, ex, y, ey);
  }
}

// A reduction along `dim` that keeps it as 1.
Tensor reduction_error(Op op, const Tensor& x, const Tensor& e, int64_t dim) {
  const auto count = static_cast<double>(x.size(dim));
  switch (op) {
    case Op::kMax:
    case Op::kMaxInterleave:
    case Op::kMin:
    case Op::kMinInterleave:
      return e.amax(dim, true);
    case Op::kSum:
      return e.sum(dim, true) + x.abs().sum(dim, true) * (count * kUnit);
    case Op::kMean:
    case Op::kMeanInterleave:
      return (e.sum(dim, true) + x.abs().sum(dim, true) * (count * kUnit)) / count + x.mean(dim, true).abs() * kUnit;
    default: {
      const Tensor norm = x.square().sum(dim, true).sqrt();
      const Tensor overflow = (norm > 1e19).to(x.scalar_type());
      return e.square().sum(dim, true).sqrt() + norm * ((count + 2) * kUnit) + kSquaresLost +
             at::where(overflow > 0, at::full({}, kInfinity, x.options()), at::zeros_like(norm));
    }
  }
}

Tensor interleave_error(const Node& node, const Tensor& x, const Tensor& e) {
  const int64_t dim = node.attrs.dim;
  std::vector<int64_t> grouped = x.sizes().vec();
  grouped[static_cast<size_t>(dim)] /= node.attrs.k;
  grouped.insert(grouped.begin() + dim + 1, node.attrs.k);
  return reduction_error(node.op, x.reshape(grouped), e.reshape(grouped), dim + 1).squeeze(dim + 1);
}

Tensor gemm_error(const Tensor& x, const Tensor& ex, const Tensor& y, const Tensor& ey) {
  const Tensor xt = x.abs().transpose(1, 2);
  const Tensor et = ex.transpose(1, 2);
  const double terms = static_cast<double>(x.size(2)) + 1;
  return at::matmul(y.abs(), et) + at::matmul(ey, xt) + at::matmul(ey, et) + at::matmul(y.abs(), xt) * (terms * kUnit) +
         kSmallest;
}

Tensor softmax_error(const Node& node, const Tensor& x, const Tensor& e, const Tensor& y) {
  const double scale = std::abs(static_cast<double>(static_cast<float>(node.attrs.scale)));
  const Tensor z = x * static_cast<double>(static_cast<float>(node.attrs.scale));
  const Tensor below = (z - z.amax(0, true)).abs();
  const Tensor d = e * scale + (z.abs() + below) * (2 * kUnit);
  const double terms = static_cast<double>(x.size(0)) + 10;
  return y * ((d + d.amax(0, true)).expm1() + terms * kUnit) + kSmallest;
}

Tensor normalize_error(const Tensor& x, const Tensor& e, const Tensor& y) {
  const Tensor norm_error = reduction_error(Op::kL2Norm, x, e, 0);
  const Tensor norm = x.square().sum(0, true).sqrt().clamp_min(1e-12);
  const Tensor low = (norm - norm_error).clamp_min(0.99e-12);
  return (e + x.abs() * norm_error / norm) / low + y.abs() * (3 * kUnit) + kSmallest;
}

Tensor conv_error(const Node& node, const Tensor& x, const Tensor& e, const OpContext& context) {
  const Tensor w = conv_weight(context.program->constants[static_cast<size_t>(node.attrs.constant)], x.scalar_type());
  Tensor bound = at::zeros_like(x);
  const int64_t pages = x.size(0);
  const double unit = (static_cast<double>(w.size(0)) + 1) * kUnit;
  for (int64_t t = 0; t < std::min(w.size(0), pages); ++t) {
    bound.slice(0, t).add_(w[t].abs() * (e + x.abs() * unit).slice(0, 0, pages - t));
  }
  return bound + kSmallest;
}

Tensor over_middle_error(const Node& node, const Tensor& x, const Tensor& e, const Tensor& output,
                         const OpContext& context) {
  const int64_t first = context.copy_over_rows ? x.size(0) : std::min<int64_t>(context.bos, x.size(0));
  const Tensor middle = x.slice(0, first);
  if (middle.size(0) == 0) {
    return e.clone();
  }
  const Tensor em = e.slice(0, first);
  const Tensor y = output.slice(0, first);
  const Tensor bound = node.op == Op::kSoftmax     ? softmax_error(node, middle, em, y)
                       : node.op == Op::kNormalize ? normalize_error(middle, em, y)
                                                   : conv_error(node, middle, em, context);
  return at::cat({e.slice(0, 0, first), bound}, 0);
}

Tensor pages_error(const Node& node, const Tensor& x, const Tensor& e, const OpContext& context) {
  const int64_t first = std::min<int64_t>(context.bos, x.size(0));
  const Tensor middle = x.slice(0, first);
  return middle.size(0) == 0 ? at::zeros({1, x.size(1), x.size(2)}, x.options())
                             : reduction_error(node.op, middle, e.slice(0, first), 0);
}

// A Kron of absolute values and errors has the layout of the Kron itself.
Tensor kron_error(const Node& node, const std::vector<Tensor>& in, const std::vector<Tensor>& e, const Tensor& output,
                  const OpContext& context) {
  return oracle_op(node, {in[0].abs(), e[1]}, context) + oracle_op(node, {e[0], in[1].abs()}, context) +
         oracle_op(node, {e[0], e[1]}, context) + output.abs() * kUnit + kSmallest;
}

Tensor raw_error(const Node& node, const std::vector<Tensor>& in, const std::vector<Tensor>& e, const Tensor& output,
                 const OpContext& context) {
  switch (node.op) {
    case Op::kGemm:
    case Op::kGemv:
      return gemm_error(in[0], e[0], in[1], e[1]);
    case Op::kKron:
      return kron_error(node, in, e, output, context);
    case Op::kMean:
    case Op::kMax:
    case Op::kMin:
    case Op::kSum:
    case Op::kL2Norm:
      return node.attrs.dim == 0 ? pages_error(node, in[0], e[0], context)
                                 : reduction_error(node.op, in[0], e[0], node.attrs.dim);
    case Op::kMeanInterleave:
    case Op::kMaxInterleave:
    case Op::kMinInterleave:
    case Op::kL2NormInterleave:
      return interleave_error(node, in[0], e[0]);
    case Op::kSoftmax:
    case Op::kNormalize:
    case Op::kConv1d:
      return over_middle_error(node, in[0], e[0], output, context);
    case Op::kTranspose:
    case Op::kReshape:
      return oracle_op(node, {e[0]}, context);
    case Op::kMaskSlice:
      return at::zeros_like(output);
    default:
      return in.size() == 2 ? binary_error(node, in[0], e[0], in[1], e[1], output)
                            : unary_error(node, in[0], e[0], output);
  }
}

// A promise is made only where value and bound are ordinary numbers that float32 can hold.
Tensor finite_or_infinite(const Tensor& value, const Tensor& error) {
  const Tensor ordinary = (value.abs() + error) < kLargest;
  return at::where(ordinary, error, at::full({}, kInfinity, error.options()));
}

}  // namespace

Tensor error_bound(const Node& node, const std::vector<Tensor>& inputs, const std::vector<Tensor>& errors,
                   const Tensor& output, const OpContext& context) {
  return finite_or_infinite(output, raw_error(node, inputs, errors, output, context));
}

Tensor rounded_error(const Tensor& value, const Tensor& error, vflow::Dtype dtype) {
  const Tensor bound = monotonic_error(value, error, [&](const Tensor& v) { return tensor::round_to(v, dtype); });
  return finite_or_infinite(value, bound);
}

}  // namespace vortex::compile
