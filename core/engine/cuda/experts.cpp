#include "core/engine/cuda/experts.h"

#include <string>

#include "core/compile/limits.h"
#include "core/engine/mlp.h"

namespace vortex::engine {
namespace {

constexpr size_t kBufferAlignment = 256;

// Sizes alone.
cuda::ExpertMlp sizes_of(const model::ModelConfig& config, int rows) {
  const model::Experts& e = *config.experts;
  cuda::ExpertMlp mlp;
  mlp.rows = rows;
  mlp.experts = e.count;
  mlp.chosen = e.per_token;
  mlp.hidden = config.hidden_size;
  mlp.inner = e.inner;
  mlp.shared_inner = e.shared_inner;
  return mlp;
}

}  // namespace

Status check_experts(const model::ModelConfig& config, int rows) {
  if (!config.experts) { return ok_status(); }
  const model::Experts& e = *config.experts;
  if (cuda::experts_support(sizes_of(config, rows)) && e.groups <= cuda::kMaxExpertGroups) { return ok_status(); }
  return candidate_error(
      "the CUDA engine takes up to " + std::to_string(cuda::kMaxExperts) + " experts in up to " +
          std::to_string(cuda::kMaxExpertGroups) + " groups, " + std::to_string(cuda::kMaxRoutedPairs / rows) +
          " of them a token, with a hidden_size and inner sizes that are multiples of 16, and this "
          "model has " +
          std::to_string(e.count) + " in " + std::to_string(e.groups) + ", " + std::to_string(e.per_token) +
          " a token, and sizes of " + std::to_string(config.hidden_size) + ", " + std::to_string(e.inner) + " and " +
          std::to_string(e.shared_inner),
      compile::cuda_limits().remedy);
}

Status ExpertBuffers::create(const model::ModelConfig& config, int rows) {
  config_ = config;
  if (!config.experts) { return ok_status(); }
  const model::Experts& e = *config.experts;
  int device = 0;
  VORTEX_TRY(cuda_status(cudaGetDevice(&device), "asking for the device"));
  VORTEX_TRY(cuda_status(cudaDeviceGetAttribute(&blocks_, cudaDevAttrMultiProcessorCount, device),
                         "asking for the multiprocessors"));
  const auto count = static_cast<size_t>(rows);
  const size_t pairs = count * static_cast<size_t>(e.per_token);
  const size_t slots = pairs + (e.shared_inner > 0 ? count : 0);
  size_t used = 0;
  const auto place = [&](auto*& pointer, size_t elements) {
    using Element = std::remove_reference_t<decltype(*pointer)>;
    if (memory_.data() != nullptr) { pointer = reinterpret_cast<Element*>(memory_.as<char>() + used); }
    used += (elements * sizeof(Element) + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  };
  const auto lay_out = [&] {
    used = 0;
    place(touched_, 1);
    place(arrived_, 1);
    place(plan_.num_tiles, 1);
    place(plan_.tiles, cuda::kMaxExpertTiles);
    place(plan_.experts, pairs);
    place(plan_.weights, pairs);
    place(plan_.order, pairs);
    place(logits_, count * static_cast<size_t>(e.count));
    place(inner_rows_, static_cast<size_t>(cuda::expert_inner_elements(sizes_of(config, rows))));
    place(answers_, slots * static_cast<size_t>(config.hidden_size));
  };
  memory_.release();
  lay_out();
  VORTEX_TRY(memory_.allocate(used));
  lay_out();
  VORTEX_TRY(cuda_status(cudaMemset(memory_.data(), 0, used), "clearing the experts' buffers"));
  return cuda_status(cudaDeviceSynchronize(), "clearing the experts' buffers");
}

cuda::RouteExperts ExpertBuffers::route_of(const DeviceLayer& layer) const {
  const model::Experts& e = *config_.experts;
  cuda::RouteExperts route;
  route.router = layer.experts.router;
  route.rule = expert_rule(e, layer.experts.bias);
  route.hidden = config_.hidden_size;
  route.shared = e.shared_inner > 0;
  route.logits = logits_;
  route.arrived = arrived_;
  route.plan = plan_;
  return route;
}

cuda::ExpertMlp ExpertBuffers::mlp_of(const DeviceLayer& layer) const {
  cuda::ExpertMlp mlp = sizes_of(config_, 0);
  mlp.gate_up = layer.experts.gate_up;
  mlp.down = layer.experts.down;
  mlp.shared_gate_up = layer.experts.shared_gate_up;
  mlp.shared_down = layer.experts.shared_down;
  mlp.inner_rows = inner_rows_;
  mlp.answers = answers_;
  mlp.plan = plan_;
  mlp.blocks = blocks_;
  return mlp;
}

Status ExpertBuffers::run(const DeviceLayer& layer, const cuda::Bf16* x, cuda::Bf16* out, int rows,
                          const std::uint8_t* active, bool counts, cudaStream_t stream) const {
  cuda::RouteExperts route = route_of(layer);
  route.x = x;
  route.rows = rows;
  route.active = active;
  route.touched = counts ? touched_ : nullptr;
  VORTEX_TRY(cuda_status(cuda::router_logits(route, stream), "scoring experts"));
  VORTEX_TRY(cuda_status(cuda::plan_experts(route, stream), "choosing experts"));
  cuda::ExpertMlp mlp = mlp_of(layer);
  mlp.x = x;
  mlp.rows = rows;
  VORTEX_TRY(cuda_status(cuda::expert_gate_up(mlp, {}, stream), "multiplying with experts"));
  VORTEX_TRY(cuda_status(cuda::expert_down(mlp, {}, stream), "multiplying with experts"));
  cuda::CombineExperts combine;
  combine.answers = answers_;
  combine.weights = plan_.weights;
  combine.active = active;
  combine.out = out;
  combine.rows = rows;
  combine.chosen = mlp.chosen;
  combine.hidden = mlp.hidden;
  combine.shared = route.shared;
  return cuda_status(cuda::combine_experts(combine, stream), "adding what experts say");
}

Status ExpertBuffers::clear_touched(cudaStream_t stream) const {
  if (touched_ == nullptr) { return ok_status(); }
  return cuda_status(cudaMemsetAsync(touched_, 0, sizeof(*touched_), stream), "starting afresh");
}

Result<int64_t> ExpertBuffers::touched() const {
  unsigned long long count = 0;
  if (touched_ == nullptr) { return int64_t{0}; }
  VORTEX_TRY(cuda_status(cudaMemcpy(&count, touched_, sizeof(count), cudaMemcpyDeviceToHost), "reading counters"));
  return static_cast<int64_t>(count);
}

}  // namespace vortex::engine
