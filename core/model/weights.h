#pragma once

#include <cstdint>
#include <vector>

#include "base/mapped_file.h"
#include "core/vflow/config/config.h"

namespace vortex::model {

// A tensor of a checkpoint: a view into a mapped file, row-major, possibly not aligned to its element size.
struct Tensor {
  const char* data = nullptr;
  vflow::Dtype dtype = vflow::Dtype::kBf16;  // kBf16, kFp16 or kFp32
  std::vector<int64_t> shape;                // [size] or [rows, cols]
};

int64_t rows_of(const Tensor& tensor);  // 1 for a vector
int64_t cols_of(const Tensor& tensor);

// Widens one row of `tensor` to float32: `out` holds cols_of(tensor) values.
void read_row(const Tensor& tensor, int64_t row, float* out);

// One decoder layer; matrices are [outputs, inputs] as Hugging Face stores them.
struct LayerWeights {
  Tensor attention_norm;          // [hidden]
  Tensor q, k, v;                 // [heads * head_dim, hidden]
  Tensor q_bias, k_bias, v_bias;  // [heads * head_dim]; absent (null data) when the architecture has no biases
  Tensor q_norm, k_norm;          // [head_dim]; absent (null data) when the architecture has no QK-norm
  Tensor o;                       // [hidden, q heads * head_dim]
  Tensor mlp_norm;                // [hidden]
  Tensor gate, up;                // [intermediate, hidden]
  Tensor down;                    // [hidden, intermediate]
};

struct Weights {
  std::vector<MappedFile> files;  // what the tensors point into
  Tensor embedding;               // [vocab, hidden]
  std::vector<LayerWeights> layers;
  Tensor final_norm;  // [hidden]
  Tensor head;        // [vocab, hidden]; the embedding when tied
};

}  // namespace vortex::model
