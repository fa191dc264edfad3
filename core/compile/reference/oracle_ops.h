#pragma once

#include <ATen/Tensor.h>

#include <vector>

#include "core/vflow/config/config.h"
#include "core/vflow/program.h"

namespace vortex::compile {

// What an operation needs beside its operands.
struct OpContext {
  const vflow::Program* program = nullptr;
  int layer = 0;
  int64_t bos = 0;              // the middle of a row starts here; it ends where the tensors end
  bool copy_over_rows = false;  // operations over pages that keep them (Softmax and its like) only copy (stages.h)
};

// One operation on tensors [pages or 1, rows, cols]: its definition, without any rounding. Not for leaves, storage and
// selections.
at::Tensor oracle_op(const vflow::Node& node, const std::vector<at::Tensor>& inputs, const OpContext& context);

// How far a float32 implementation of an operation may be from `output`, element by element, when its inputs are within
// `errors` of `inputs`. u = 2^-24. Each rounding costs u times the magnitude; a sum of n terms in any order costs
// n u times the sum of magnitudes; exp costs 4 u, log 6 u relative (kernels/cpu/lanes.h). Errors of inputs pass through
// exactly where the operation is monotonic or linear. A Where* or Relu whose predicate could go the other way has the
// distance of its two results as bound. Infinite: float32 could overflow, or the value is not finite.
at::Tensor error_bound(const vflow::Node& node, const std::vector<at::Tensor>& inputs,
                       const std::vector<at::Tensor>& errors, const at::Tensor& output, const OpContext& context);

// The bound after rounding to a dtype. Rounding is monotonic, so the rounded value lies between the rounded ends of the
// interval: the bound is 0 unless the interval holds a point where rounding jumps.
at::Tensor rounded_error(const at::Tensor& value, const at::Tensor& error, vflow::Dtype dtype);

// The Parameter matrix [1, N, K] of the context's layer, in bfloat16 values.
at::Tensor parameter_matrix(const vflow::Constant& constant, int layer, at::ScalarType type);

}  // namespace vortex::compile
