// Grouped-query attention on the device.
#include "core/engine/cuda/layers.h"

namespace vortex::engine {
namespace {

std::vector<LayerMatrix> grouped_matrices(const DeviceModel& model) {
  const int hidden = model.source.config.hidden_size;
  return {{&DeviceLayer::qkv, model.qkv_size(), hidden}, {&DeviceLayer::o, hidden, model.o_size()}};
}

Status grouped_inputs(Layers& layers, int layer, int rows, cuda::KvAppend append, cudaStream_t stream) {
  const DeviceModel& model = layers.model();
  const DeviceLayer& w = model.layers[static_cast<size_t>(layer)];
  const model::ModelConfig& c = model.source.config;
  const Activations& a = layers.activations();
  VORTEX_TRY(layers.multiply(model.qkv_size(), c.hidden_size, rows, w.qkv, a.normed, a.qkv, stream));
  if (layers.leaves_out(Stage::kSmall)) { return ok_status(); }
  if (c.qk_norm == model::QkNorm::kAllHeads) {
    const cuda::HeadFactors factors{
        a.qkv, a.factors, rows, c.num_q_heads, c.num_kv_heads, c.head_dim, static_cast<float>(c.rms_norm_eps)};
    VORTEX_TRY(layers.link() != nullptr ? layers.link()->reduce_factors(factors, stream)
                                        : cuda_status(cuda::head_factors(factors, stream), "normalising heads"));
    append.factors = a.factors;
  }
  append.qkv = a.qkv;
  append.bias = w.qkv_bias;
  append.q_norm = w.q_norm;
  append.k_norm = w.k_norm;
  append.epsilon = static_cast<float>(c.rms_norm_eps);
  append.rope = model.rope;
  append.rotated = c.rotary_dim();
  append.num_tokens = rows;
  append.num_q_heads = c.num_q_heads;
  append.q = a.q;
  return cuda_status(cuda::append_kv(append, stream), "appending keys and values");
}

int64_t grouped_workspace(const DeviceModel&, int, const StepShape&) { return 0; }

cudaError_t grouped_attend(const DeviceModel&, const cuda::DecodeAttention& args, const StepShape& shape,
                           cudaStream_t stream) {
  cuda::DecodeSchedule schedule;
  if (!shape.batch_invariant) {
    schedule =
        cuda::plan_decode_attention(args.num_requests * args.kv.num_kv_heads, shape.max_visited, shape.multiprocessors);
  }
  return cuda::decode_attention(args, schedule, stream);
}

cudaError_t grouped_attend_prompt(const DeviceModel&, const cuda::PrefillAttention& args, cudaStream_t stream) {
  return cuda::prefill_attention(args, stream);
}

Status grouped_outputs(Layers& layers, int layer, int rows, cudaStream_t stream) {
  const DeviceModel& model = layers.model();
  const Activations& a = layers.activations();
  return layers.multiply(model.source.config.hidden_size, model.o_size(), rows,
                         model.layers[static_cast<size_t>(layer)].o, a.attended, a.update, stream);
}

}  // namespace

const DeviceAttention kGroupedOnDevice = {"grouped-query", grouped_matrices,      grouped_inputs, grouped_workspace,
                                          grouped_attend,  grouped_attend_prompt, grouped_outputs};

}  // namespace vortex::engine
