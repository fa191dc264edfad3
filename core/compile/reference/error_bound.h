#pragma once

#include <ATen/Tensor.h>

#include <vector>

#include "core/compile/reference/oracle_ops.h"
#include "core/vflow/config/config.h"

namespace vortex::compile {

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

}  // namespace vortex::compile
