#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/mapped_file.h"
#include "core/vflow/config/config.h"

namespace vortex::model {

// Rows and columns of a matrix that share a scale.
struct ScaleBlock {
  int rows = 0;
  int cols = 0;
};

// A tensor of a checkpoint: a view into a mapped file, row-major, possibly not aligned to its element size.
struct Tensor {
  const char* data = nullptr;
  vflow::Dtype dtype = vflow::Dtype::kBf16;   // kBf16, kFp16, kFp32, or kFp8E4m3 with scales
  std::vector<int64_t> shape;                 // [size], [rows, cols], or [rows, cols, row_stride()] (rows.h)
  std::shared_ptr<const Tensor> scales = {};  // [blocks of rows, blocks of columns]; null: every scale is 1
  ScaleBlock scale_block = {};
};

int64_t rows_of(const Tensor& tensor);  // 1 for a vector
int64_t cols_of(const Tensor& tensor);

// Widens one row of `tensor` to float32, scaled: `out` holds cols_of(tensor) values.
void read_row(const Tensor& tensor, int64_t row, float* out);

// Matrices are [outputs, inputs] as Hugging Face stores them; what a layer has not is absent (null data).
struct MlpWeights {
  Tensor gate, up;  // [inner, hidden]
  Tensor down;      // [hidden, inner]
};

// One decoder layer.
struct LayerWeights {
  Tensor attention_norm;          // [hidden]
  Tensor q, k, v;                 // [heads * head_dim, hidden]; of latent attention see below
  Tensor q_bias, k_bias, v_bias;  // [heads * head_dim], when the architecture has biases
  Tensor q_norm, k_norm;          // [head_dim], when the architecture has QK-norm
  Tensor o;                       // [hidden, q heads * head_dim]
  Tensor mlp_norm;                // [hidden]
  MlpWeights mlp;                 // of a layer with experts: the one that every token goes through

  // Latent attention: q is [heads * (nope + rope), q_rank] behind q_latent and q_norm [q_rank], or [.., hidden] without
  // them; k_norm is [kv_rank], o [hidden, heads * value_dim].
  Tensor q_latent;   // [q_rank, hidden]
  Tensor kv_latent;  // [kv_rank + rope, hidden]
  Tensor kv;         // [heads * (nope + value_dim), kv_rank]: of each head keys, then values

  Tensor router;                    // [experts, hidden]
  Tensor router_bias;               // [experts], when choosing is corrected
  std::vector<MlpWeights> experts;  // empty in a layer without
};

struct Weights {
  std::vector<MappedFile> files;  // what the tensors point into
  Tensor embedding;               // [vocab, hidden]
  std::vector<LayerWeights> layers;
  Tensor final_norm;  // [hidden]
  Tensor head;        // [vocab, hidden]; the embedding when tied
};

}  // namespace vortex::model
