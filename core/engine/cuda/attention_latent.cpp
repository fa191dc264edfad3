// Latent attention on the device (kernels/cuda/latent.h): decode steps and prompts alike attend the latents as they lie
// in the cache, with queries that were turned round.
#include <algorithm>

#include "core/engine/cuda/layers.h"
#include "kernels/cuda/latent.h"

namespace vortex::engine {
namespace {

const model::LatentAttention& latent_of(const DeviceModel& model) { return *model.source.config.latent; }

// Elements of the first product's rows before what is cached.
int cached_at(const DeviceModel& model) { return model.qkv_size() - model.kv_size(); }

std::vector<LayerMatrix> latent_matrices(const DeviceModel& model) {
  const int hidden = model.source.config.hidden_size;
  std::vector<LayerMatrix> matrices = {{&DeviceLayer::qkv, model.qkv_size(), hidden},
                                       {&DeviceLayer::o, hidden, model.o_size()}};
  if (latent_of(model).q_rank > 0) {
    matrices.push_back({&DeviceLayer::queries, model.queries_size(), latent_of(model).q_rank});
  }
  return matrices;
}

cuda::Rotation rotation_of(const DeviceModel& model) {
  return {model.rope, latent_of(model).rope_dim, latent_of(model).interleaved};
}

Status append(const DeviceModel& model, const DeviceLayer& w, const Activations& a, const cuda::KvAppend& rows,
              cudaStream_t stream) {
  const model::LatentAttention& l = latent_of(model);
  cuda::LatentAppend append;
  append.projected = a.qkv;
  append.stride = model.qkv_size();
  append.latent_at = cached_at(model);
  append.q_rank = l.q_rank;
  append.q_norm = w.q_norm;
  append.k_norm = w.k_norm;
  append.kv_rank = l.kv_rank;
  append.epsilon = static_cast<float>(l.norm_eps);
  append.rotation = rotation_of(model);
  append.requests = rows.requests;
  append.positions = rows.positions;
  append.active = rows.active;
  append.num_tokens = rows.num_tokens;
  append.q_latent = a.q_latent;
  append.kv = rows.kv;
  append.table = rows.table;
  return cuda_status(cuda::append_latent(append, stream), "appending latents");
}

// [K_h^T q | rotated part] of every head.
Status turn_queries(const DeviceModel& model, const DeviceLayer& w, const Activations& a, const cuda::KvAppend& rows,
                    cudaStream_t stream) {
  const model::LatentAttention& l = latent_of(model);
  const int head_dim = model.source.config.head_dim;
  cuda::HeadProducts turn;
  turn.w = w.key_queries;
  turn.x = l.q_rank > 0 ? a.queries : a.qkv;
  turn.x_row = l.q_rank > 0 ? model.queries_size() : model.qkv_size();
  turn.x_head = l.nope_dim + l.rope_dim;
  turn.y = a.q;
  turn.y_row = model.q_size();
  turn.y_head = head_dim;
  turn.rows = rows.num_tokens;
  turn.heads = model.source.config.num_q_heads;
  turn.n = l.kv_rank;
  turn.k = l.nope_dim;
  turn.rotation = rotation_of(model);
  turn.positions = rows.positions;
  turn.lengths = rows.table.lengths;
  return cuda_status(cuda::head_products(turn, stream), "turning queries round");
}

Status latent_inputs(Layers& layers, int layer, int rows, cuda::KvAppend append_rows, cudaStream_t stream) {
  const DeviceModel& model = layers.model();
  const DeviceLayer& w = model.layers[static_cast<size_t>(layer)];
  const Activations& a = layers.activations();
  append_rows.num_tokens = rows;
  VORTEX_TRY(layers.multiply(model.qkv_size(), model.source.config.hidden_size, rows, w.qkv, a.normed, a.qkv, stream));
  if (!layers.leaves_out(Stage::kSmall)) { VORTEX_TRY(append(model, w, a, append_rows, stream)); }
  if (latent_of(model).q_rank > 0) {
    VORTEX_TRY(
        layers.multiply(model.queries_size(), latent_of(model).q_rank, rows, w.queries, a.q_latent, a.queries, stream));
  }
  return layers.leaves_out(Stage::kProducts) ? ok_status() : turn_queries(model, w, a, append_rows, stream);
}

// Thread blocks that share a row.
int parts_of(const DeviceModel& model, int rows, const StepShape& shape) {
  if (shape.batch_invariant) { return cuda::LatentSchedule{}.parts; }
  return cuda::plan_latent_parts(rows, model.source.config.num_q_heads, shape.multiprocessors);
}

int64_t latent_workspace(const DeviceModel& model, int rows, const StepShape& shape) {
  int64_t most = 0;  // fewer rows may be shared by more
  for (int count = 1; count <= rows; ++count) {
    most = std::max(most, cuda::latent_workspace_floats(count, model.source.config.num_q_heads,
                                                        latent_of(model).kv_rank, parts_of(model, count, shape)));
  }
  return most;
}

cudaError_t latent_attend(const DeviceModel& model, const cuda::DecodeAttention& args, const StepShape& shape,
                          cudaStream_t stream) {
  cuda::LatentAttention attention;
  attention.q = args.q;
  attention.out = args.out;
  attention.lse = args.lse;
  attention.kv = args.kv;
  attention.value_dim = latent_of(model).kv_rank;
  attention.table = args.table;
  attention.selection = args.selection;
  attention.rows = args.num_requests;
  attention.num_q_heads = args.num_q_heads;
  attention.scale = args.scale;
  return cuda::latent_attention(attention, {parts_of(model, args.num_requests, shape), shape.workspace}, stream);
}

cudaError_t latent_attend_prompt(const DeviceModel& model, const cuda::PrefillAttention& args, cudaStream_t stream) {
  cuda::LatentAttention attention;
  attention.q = args.q;
  attention.out = args.out;
  attention.kv = args.kv;
  attention.value_dim = latent_of(model).kv_rank;
  attention.table = {args.pages, nullptr, (args.first + args.rows + args.kv.block - 1) / args.kv.block};
  attention.prompt = true;
  attention.first = args.first;
  attention.rows = args.rows;
  attention.num_q_heads = args.num_q_heads;
  attention.scale = args.scale;
  return cuda::latent_attention(attention, {}, stream);
}

Status latent_outputs(Layers& layers, int layer, int rows, cudaStream_t stream) {
  const DeviceModel& model = layers.model();
  const DeviceLayer& w = model.layers[static_cast<size_t>(layer)];
  const model::LatentAttention& l = latent_of(model);
  const model::ModelConfig& c = model.source.config;
  const Activations& a = layers.activations();
  cuda::HeadProducts values;
  values.w = w.values;
  values.x = a.attended;
  values.x_row = int64_t{c.num_q_heads} * l.kv_rank;
  values.x_head = l.kv_rank;
  values.y = a.values;
  values.y_row = model.o_size();
  values.y_head = l.value_dim;
  values.rows = rows;
  values.heads = c.num_q_heads;
  values.n = l.value_dim;
  values.k = l.kv_rank;
  if (!layers.leaves_out(Stage::kProducts)) {
    VORTEX_TRY(cuda_status(cuda::head_products(values, stream), "making values of latents"));
  }
  return layers.multiply(c.hidden_size, model.o_size(), rows, w.o, a.values, a.update, stream);
}

}  // namespace

const DeviceAttention kLatentOnDevice = {"latent",      latent_matrices,      latent_inputs, latent_workspace,
                                         latent_attend, latent_attend_prompt, latent_outputs};

}  // namespace vortex::engine
