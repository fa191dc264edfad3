// Grouped-query attention on the device.
#include "core/engine/cuda/layers.h"
#include "core/engine/cuda/row_split.h"
#include "kernels/cuda/attention_spread.h"

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

// Whether the tiles of all rows are spread evenly over the device: of few rows, all of whose tokens are seen, where
// bits may follow from the batch.
bool spreads(const cuda::DecodeAttention& args, const StepShape& shape) {
  return !shape.batch_invariant && args.selection.blocks == nullptr &&
         args.num_requests * args.kv.num_kv_heads * 2 <= shape.multiprocessors && cuda::spread_attention_supports(args);
}

int64_t grouped_workspace(const DeviceModel& model, int, const StepShape& shape) {
  if (shape.batch_invariant) { return 0; }
  const model::ModelConfig& c = model.source.config;
  cuda::DecodeAttention args;
  args.kv.num_kv_heads = c.num_kv_heads;
  args.kv.head_dim = c.head_dim;
  args.num_q_heads = c.num_q_heads;
  const size_t bytes = cuda::spread_workspace_bytes(args, cuda::plan_spread_attention(shape.multiprocessors));
  return static_cast<int64_t>((bytes + sizeof(float) - 1) / sizeof(float));
}

cudaError_t grouped_attend(const DeviceModel&, const cuda::DecodeAttention& args, const StepShape& shape,
                           cudaStream_t stream) {
  if (spreads(args, shape)) {
    cuda::SpreadSchedule spread = cuda::plan_spread_attention(shape.multiprocessors);
    // A step begins with kernels that nothing overtakes, and writes the newest token's keys and values alone.
    spread.reads_ahead = true;
    return cuda::spread_attention(args, spread, shape.workspace, stream);
  }
  cuda::DecodeSchedule schedule =
      cuda::plan_decode_attention(args.num_requests * args.kv.num_kv_heads, shape.max_visited, shape.multiprocessors);
  split_rows(schedule, shape.row_pieces, shape.batch_invariant);
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
