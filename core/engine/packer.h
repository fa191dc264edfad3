#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <span>

#include "core/engine/packed_model.h"

namespace vortex::engine {

// Walks the arrays of a packed model in their one order. Without memory it counts their bytes; with memory it points
// the model at them; with weights it also writes them. Kinds of attention and MLPs describe their own arrays with the
// functions at the end.
class Packer {
 public:
  using Tensors = std::initializer_list<const model::Tensor*>;
  // Fills row `row` of a matrix that is made from several parts of a checkpoint.
  using RowSource = std::function<void(int row, float* values)>;

  Packer(PackedModel& model, int positions);

  size_t count() { return walk(nullptr, nullptr); }
  // `base` starts out zeroed.
  void write(char* base, const model::Weights& weights) { walk(base, &weights); }
  void bind(const char* base) { walk(const_cast<char*>(base), nullptr); }  // which is not written to

  const model::ModelConfig& config() const { return config_; }
  bool writes() const { return base_ != nullptr && weights_ != nullptr; }

  // Vectors, or rows of matrices, one after the other in float32, `size` elements in all.
  void floats(std::span<const float>& out, Tensors tensors, int64_t size);
  // Matrices over the same input of size k, stacked, `n` outputs in all.
  void matrix(PackedWeights& out, Tensors stacked, int n, int k);
  // An [n][k] matrix, row by row; `source` is only called while weights are written.
  void matrix(PackedWeights& out, int n, int k, const RowSource& source);

 private:
  size_t walk(char* base, const model::Weights* weights);
  void rotary();
  template <typename T>
  T* take(size_t count);

  PackedModel& model_;
  const model::ModelConfig config_;
  int positions_;
  const model::Weights* weights_ = nullptr;
  char* base_ = nullptr;
  size_t used_ = 0;
};

}  // namespace vortex::engine
