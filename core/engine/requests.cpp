#include "core/engine/requests.h"

#include <cmath>
#include <set>
#include <string>

#include "core/engine/prefix.h"
#include "kernels/cpu/sampler.h"

namespace vortex::engine {

Status check_tokens(const model::Model& model, std::span<const int32_t> tokens) {
  for (int32_t token : tokens) {
    if (token < 0 || token >= model.config.vocab_size) {
      return candidate_error("token " + std::to_string(token) + " is not in the vocabulary of " +
                             std::to_string(model.config.vocab_size));
    }
  }
  return ok_status();
}

Status check_request(const model::Model& model, const EngineOptions& options, const Request& request,
                     int64_t new_tokens) {
  if (request.prompt.empty()) { return candidate_error("a prompt must have at least one token"); }
  if (new_tokens < 1) { return candidate_error("max_new_tokens must be at least 1"); }
  if (static_cast<int64_t>(request.prompt.size()) + new_tokens > options.max_context) {
    return candidate_error("a prompt of " + std::to_string(request.prompt.size()) + " tokens and " +
                           std::to_string(new_tokens) + " new ones exceed the context of " +
                           std::to_string(options.max_context));
  }
  const SamplingParams& sampling = request.sampling;
  if (!(sampling.temperature >= 0) || !(sampling.top_p > 0 && sampling.top_p <= 1) || sampling.top_k < 0) {
    return candidate_error("temperature and top_k must not be negative and top_p must be in (0, 1]");
  }
  VORTEX_TRY(check_tokens(model, request.prompt));
  if (request.prefix != nullptr && !prefix_matches(*request.prefix, model, request.prompt)) {
    return internal_error("a request's prefix was made from another prompt or by another model");
  }
  return ok_status();
}

Status check_traced_for(const vflow::Policy& policy, const model::ModelConfig& model) {
  const vflow::Geometry& geometry = policy.program.geometry;
  if ((policy.program.dialect == vflow::Dialect::kMla) != model.latent.has_value()) {
    return candidate_error(model.latent
                               ? "the policy is written for GQA, but " + model.architecture + " uses MLA"
                               : "the policy is written for MLA attention, but " + model.architecture + " uses GQA");
  }
  if (geometry.head_dim != model.head_dim || geometry.group != model.num_q_heads / model.num_kv_heads ||
      geometry.block_size != policy.config.block_size) {
    return internal_error("the policy was traced for another model or block size than it is run with");
  }
  return ok_status();
}

RunStats fresh_stats(int layers) {
  RunStats stats;
  stats.pages_visible.assign(static_cast<size_t>(layers), 0);
  stats.pages_attended.assign(static_cast<size_t>(layers), 0);
  return stats;
}

void add_stats(const RunStats& more, RunStats& total) {
  total.prefill_seconds += more.prefill_seconds;
  total.decode_seconds += more.decode_seconds;
  total.prefill_tokens += more.prefill_tokens;
  total.decode_tokens += more.decode_tokens;
  total.decode_steps += more.decode_steps;
  total.sparse_layer_calls += more.sparse_layer_calls;
  total.dense_layer_calls += more.dense_layer_calls;
  total.kv_bytes_read += more.kv_bytes_read;
  total.weight_bytes_read += more.weight_bytes_read;
  const auto add = [](const std::vector<int64_t>& from, std::vector<int64_t>& to) {
    to.resize(std::max(to.size(), from.size()), 0);
    for (size_t i = 0; i < from.size(); ++i) { to[i] += from[i]; }
  };
  add(more.pages_visible, total.pages_visible);
  add(more.pages_attended, total.pages_attended);
}

int64_t scored_bytes(const vflow::Policy& policy) {
  std::set<int> fields;
  for (const vflow::Node& node : policy.program.indexer.nodes) {
    if (node.op == vflow::Op::kField || node.op == vflow::Op::kLoad) { fields.insert(node.attrs.field); }
  }
  int64_t bytes = 0;
  for (int index : fields) {
    if (index < 0) { continue; }
    const vflow::Field& field = policy.program.fields[static_cast<size_t>(index)];
    bytes += field.shape.size() * vflow::dtype_bytes(field.builtin ? policy.config.kv_dtype : policy.config.dtype);
  }
  return bytes;
}

void log_softmax(const float* logits, int size, float* out) {
  const auto peak = static_cast<double>(logits[cpu::argmax(logits, size)]);
  double total = 0;
  for (int i = 0; i < size; ++i) { total += std::exp(static_cast<double>(logits[i]) - peak); }
  const double shift = peak + std::log(total);
  for (int i = 0; i < size; ++i) { out[i] = static_cast<float>(static_cast<double>(logits[i]) - shift); }
}

}  // namespace vortex::engine
