#pragma once

#include <ATen/Tensor.h>

#include <vector>

#include "core/vflow/program.h"

namespace vortex::compile {

// What an operation needs beside its operands.
struct OpContext {
  const vflow::Program* program = nullptr;
  int layer = 0;
  int64_t bos = 0;              // the middle of a row starts here; it ends where the tensors end
  bool copy_over_rows = false;  // Softmax, Normalize, Conv1d only copy (stages.h)
};

// One operation on tensors [pages or 1, rows, cols]: its definition, without any rounding.
at::Tensor oracle_op(const vflow::Node& node, const std::vector<at::Tensor>& inputs, const OpContext& context);

// The Parameter matrix [1, N, K] of the context's layer, or a Conv1d's weight [taps, rows, cols]; in bfloat16 values.
at::Tensor parameter_matrix(const vflow::Constant& constant, int layer, at::ScalarType type);
at::Tensor conv_weight(const vflow::Constant& constant, at::ScalarType type);

}  // namespace vortex::compile
