#include "core/compile/reference/oracle_ops.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/tensor/vtensor.h"

namespace vortex::compile {

using at::Tensor;
using vflow::Node;
using vflow::Op;

namespace {

constexpr double kMasked = -1e30;

Tensor where_holds(const Tensor& predicate, const Tensor& like) {
  return at::where(predicate, at::zeros({}, like.options()), at::full({}, static_cast<float>(kMasked), like.options()));
}

Tensor reduce(Op op, const Tensor& x, int64_t dim) {
  switch (op) {
    case Op::kMean:
    case Op::kMeanInterleave:
      return x.mean(dim, true);
    case Op::kMax:
    case Op::kMaxInterleave:
      return x.amax(dim, true);
    case Op::kMin:
    case Op::kMinInterleave:
      return x.amin(dim, true);
    case Op::kSum:
      return x.sum(dim, true);
    default:
      return x.square().sum(dim, true).sqrt();
  }
}

Tensor reduce_pages(const Node& node, const Tensor& x, const OpContext& context) {
  const Tensor middle = x.slice(0, std::min<int64_t>(context.bos, x.size(0)));
  return middle.size(0) == 0 ? at::zeros({1, x.size(1), x.size(2)}, x.options()) : reduce(node.op, middle, 0);
}

// Groups of k consecutive elements along the dim, reduced.
Tensor interleave(const Node& node, const Tensor& x) {
  const int64_t dim = node.attrs.dim;
  const int64_t k = node.attrs.k;
  std::vector<int64_t> grouped = x.sizes().vec();
  grouped[static_cast<size_t>(dim)] /= k;
  grouped.insert(grouped.begin() + dim + 1, k);
  return reduce(node.op, x.reshape(grouped), dim + 1).squeeze(dim + 1);
}

Tensor kron(const Node& node, const Tensor& x, const Tensor& y) {
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

Tensor convolve(const Tensor& x, const Tensor& weight) {
  Tensor y = at::zeros_like(x);
  const int64_t pages = x.size(0);
  for (int64_t t = 0; t < std::min(weight.size(0), pages); ++t) {
    y.slice(0, t).add_(weight[t] * x.slice(0, 0, pages - t));
  }
  return y;
}

// Softmax, Normalize, Conv1d: over the middle; the first pages, or all, are copied.
Tensor over_middle(const Node& node, const Tensor& x, const OpContext& context) {
  const int64_t first = context.copy_over_rows ? x.size(0) : std::min<int64_t>(context.bos, x.size(0));
  const Tensor middle = x.slice(0, first);
  if (middle.size(0) == 0) {
    return x.clone();
  }
  Tensor y;
  if (node.op == Op::kSoftmax) {
    y = at::softmax(middle * static_cast<double>(static_cast<float>(node.attrs.scale)), 0);
  } else if (node.op == Op::kNormalize) {
    y = middle / middle.square().sum(0, true).sqrt().clamp_min(1e-12);
  } else {
    const auto& constant = context.program->constants[static_cast<size_t>(node.attrs.constant)];
    y = convolve(middle, conv_weight(constant, x.scalar_type()));
  }
  return at::cat({x.slice(0, 0, first), y}, 0);
}

Tensor mask(const Node& node, const Tensor& x) {
  Tensor y = at::full_like(x, static_cast<double>(static_cast<float>(node.attrs.beta)));
  y.slice(node.attrs.dim, node.attrs.start, node.attrs.end).fill_(static_cast<float>(node.attrs.alpha));
  return y;
}

Tensor unary(const Node& node, const Tensor& x, double alpha, double beta) {
  const Tensor affine = x * beta + alpha;
  switch (node.op) {
    case Op::kRelu:
      return at::where(x >= alpha, x, at::full({}, beta, x.options()));
    case Op::kSigmoid:
      return 1.0 / (1.0 + affine.exp());
    case Op::kSilu:
      return x / (1.0 + affine.exp());
    case Op::kAbs:
      return affine.abs();
    case Op::kLog:
      return affine.log();
    case Op::kExp:
      return affine.exp();
    default:
      return affine;
  }
}

Tensor binary(const Node& node, const Tensor& x, const Tensor& y, double alpha, double beta) {
  switch (node.op) {
    case Op::kMultiply:
      return x * y;
    case Op::kAdd:
      return x * alpha + y * beta;
    case Op::kMaximum:
      return at::maximum(x, y);
    case Op::kMinimum:
      return at::minimum(x, y);
    case Op::kWhereEqual:
      return where_holds(x == y, x);
    case Op::kWhereNotEqual:
      return where_holds(x != y, x);
    case Op::kWhereGreater:
      return where_holds(x > y, x);
    case Op::kWhereGreaterEqual:
      return where_holds(x >= y, x);
    case Op::kWhereLess:
      return where_holds(x < y, x);
    default:
      return where_holds(x <= y, x);
  }
}

}  // namespace

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

Tensor conv_weight(const vflow::Constant& constant, at::ScalarType type) {
  const Tensor all = at::tensor(constant.data).reshape({constant.dims[0], constant.dims[1], constant.dims[2]});
  return tensor::round_to(all, vflow::Dtype::kBf16).to(type);
}

Tensor oracle_op(const Node& node, const std::vector<Tensor>& inputs, const OpContext& context) {
  const Tensor& x = inputs[0];
  const auto alpha = static_cast<double>(static_cast<float>(node.attrs.alpha));
  const auto beta = static_cast<double>(static_cast<float>(node.attrs.beta));
  switch (node.op) {
    case Op::kGemm:
    case Op::kGemv:
      return at::matmul(inputs[1], x.transpose(1, 2));
    case Op::kKron:
      return kron(node, x, inputs[1]);
    case Op::kMean:
    case Op::kMax:
    case Op::kMin:
    case Op::kSum:
    case Op::kL2Norm:
      return node.attrs.dim == 0 ? reduce_pages(node, x, context) : reduce(node.op, x, node.attrs.dim);
    case Op::kMeanInterleave:
    case Op::kMaxInterleave:
    case Op::kMinInterleave:
    case Op::kL2NormInterleave:
      return interleave(node, x);
    case Op::kSoftmax:
    case Op::kNormalize:
    case Op::kConv1d:
      return over_middle(node, x, context);
    case Op::kTranspose:
      return x.transpose(1, 2);
    case Op::kReshape:
      return x.reshape({x.size(0), node.shape.rows, node.shape.cols});
    case Op::kMaskSlice:
      return mask(node, x);
    default:
      return inputs.size() == 2 ? binary(node, x, inputs[1], alpha, beta) : unary(node, x, alpha, beta);
  }
}

}  // namespace vortex::compile
