// The dense parts of a forward pass on the device: what surrounds attention in each layer.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "core/engine/cuda/attention_kind.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/device_model.h"
#include "core/engine/cuda/experts.h"
#include "core/engine/cuda/gemm.h"
#include "core/engine/cuda/ranks.h"
#include "core/engine/cuda/stages.h"
#include "kernels/cuda/append.h"

namespace vortex::engine {

// Activations of up to `rows` tokens, and of the logits of up to `head_rows`.
struct Activations {
  DeviceMemory memory;
  cuda::Bf16* residual = nullptr;  // [row][hidden]
  cuda::Bf16* update = nullptr;    // [row][hidden] what the next norm adds to the residual
  cuda::Bf16* normed = nullptr;    // [row][hidden]
  cuda::Bf16* qkv = nullptr;       // [row][q, k, v], or what latent attention has there (DeviceLayer)
  cuda::Bf16* q = nullptr;         // [row][q head][head_dim]
  cuda::Bf16* attended = nullptr;  // [row][q head][head_dim], of latent attention [row][q head][kv_rank]
  cuda::Bf16* q_latent = nullptr;  // [row][q_rank]; these three of latent attention only
  cuda::Bf16* queries = nullptr;   // [row][q head][nope + rope]
  cuda::Bf16* values = nullptr;    // [row][q head][value_dim]
  cuda::Bf16* gate_up = nullptr;   // [row][2 * intermediate]
  cuda::Bf16* inner = nullptr;     // [row][intermediate]
  float2* factors = nullptr;       // [row] of norms over all heads
  float* logits = nullptr;         // [row][logit_stride]
  int logit_stride = 0;
  ExpertBuffers experts;

  Status create(const DeviceModel& model, int rows, int head_rows);
};

class Layers {
 public:
  // `link` is that of a rank of several; null: the model is all here.
  Layers(const DeviceModel& model, Gemms& gemms, Activations& activations, RankLink* link = nullptr)
      : model_(model), attention_(device_attention(model.source.config)), gemms_(gemms), a_(activations), link_(link) {}

  // Chooses matrix-product algorithms for steps of `rows` tokens, and for logits of `head_rows`. Synchronises.
  Status tune(int rows, int head_rows, cudaStream_t stream);

  // Norm and projections of layer `layer`, then `append` (whose rows, pool and table the caller has set): fills q.
  Status attention_inputs(int layer, int rows, const cuda::KvAppend& append, cudaStream_t stream);
  // Output projection of `attended`, norm and MLP. Rows with active[row] 0 touch no expert. Of a prompt, `active` is
  // null: all rows are active, and the experts that they touch are not counted.
  Status attention_outputs(int layer, int rows, const std::uint8_t* active, cudaStream_t stream);
  // Logits of rows [first, first + rows), put into rows 0...
  Status head(int first, int rows, cudaStream_t stream);

  // Products are computed with at least so many rows from now on; 0: as many as there are.
  void set_least_rows(int rows) { least_rows_ = rows; }

  // For profiles: nothing of this stage is enqueued.
  void leave_out(std::optional<Stage> stage) { left_out_ = stage; }

  // For kinds of attention: y = x w^T for a matrix [n][k] that matrices() named.
  Status multiply(int n, int k, int rows, const cuda::Bf16* w, const cuda::Bf16* x, cuda::Bf16* y,
                  cudaStream_t stream) {
    return multiply(shape(n, k, rows), w, x, y, stream);
  }
  const DeviceModel& model() const { return model_; }
  Activations& activations() { return a_; }
  bool leaves_out(Stage stage) const { return left_out_ == stage; }
  // Through which a step adds up what ranks say; null: it does not.
  RankLink* link() const { return leaves_out(Stage::kExchange) ? nullptr : link_; }

 private:
  Status multiply(const GemmShape& shape, const cuda::Bf16* w, const cuda::Bf16* x, cuda::Bf16* y, cudaStream_t stream);

  GemmShape shape(int n, int k, int rows) const { return {n, k, product_rows(rows), n, false, false}; }
  int product_rows(int rows) const { return padded_rows(rows < least_rows_ ? least_rows_ : rows); }
  Status mlp(int layer, int rows, const std::uint8_t* active, cudaStream_t stream);
  GemmShape gate_up_shape(int rows) const;
  int gated_rows(int rows) const;
  GemmShape head_shape(int rows) const;
  Status norm(const cuda::Bf16* weight, const cuda::Bf16* x, int first, int rows, cudaStream_t stream);
  Status add_up(const cuda::Bf16* weight, int rows, cudaStream_t stream);

  const DeviceModel& model_;
  const DeviceAttention& attention_;
  Gemms& gemms_;
  Activations& a_;
  RankLink* link_;
  int rows_ = 0;  // that went through the newest layer
  int least_rows_ = 0;
  std::optional<Stage> left_out_;
};

}  // namespace vortex::engine
