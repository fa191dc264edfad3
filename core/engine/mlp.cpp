#include "core/engine/mlp.h"

#include <algorithm>

#include "kernels/cpu/activation.h"
#include "kernels/cpu/router.h"

namespace vortex::engine {
namespace {

void pack_one(Packer& packer, const model::MlpWeights& from, int inner, PackedMlp& to) {
  const int hidden = packer.config().hidden_size;
  packer.matrix(to.gate_up, {&from.gate, &from.up}, 2 * inner, hidden);
  packer.matrix(to.down, {&from.down}, hidden, inner);
}

// silu(gate) * up of `rows` rows.
void activate(const float* gate_up, int rows, int inner, float* out) {
  for (int row = 0; row < rows; ++row, gate_up += 2 * int64_t{inner}, out += inner) {
    cpu::swiglu(gate_up, gate_up + inner, inner, out);
  }
}

// What every row chose, [row][chosen].
struct Choice {
  std::vector<int32_t> experts;
  std::vector<float> weights;
};

Choice choose_rows(const PackedModel& model, const PackedLayer& layer, const float* x, int rows) {
  const model::Experts& experts = *model.source.config.experts;
  const cpu::ExpertRule rule = expert_rule(experts, layer.router_bias.data());
  const int64_t hidden = model.source.config.hidden_size;
  Choice choice;
  choice.experts.resize(static_cast<size_t>(rows) * static_cast<size_t>(experts.per_token));
  choice.weights.resize(choice.experts.size());
  std::vector<float> logits(static_cast<size_t>(experts.count));
  for (int row = 0; row < rows; ++row) {
    const size_t at = static_cast<size_t>(row) * static_cast<size_t>(experts.per_token);
    cpu::router_logits(x + row * hidden, layer.router.data(), experts.count, static_cast<int>(hidden), logits.data());
    cpu::choose_experts(rule, logits.data(), &choice.experts[at], &choice.weights[at]);
  }
  return choice;
}

// Rows that go through one MLP, side by side in scratch.gathered and what is made of them.
struct Segment {
  const PackedMlp* mlp = nullptr;
  const float* x = nullptr;  // [rows][hidden]
  int rows = 0;
  int64_t first = 0;  // row of scratch.answered
  int64_t inner = 0;  // element of scratch.inner that the first row begins with
};

// scratch.answered of all segments.
void answer(const PackedModel& model, const std::vector<Segment>& segments, LayerScratch& scratch,
            cpu::ThreadPool* pool) {
  const int64_t hidden = model.source.config.hidden_size;
  std::vector<Multiplication> gates;
  std::vector<Multiplication> downs;
  for (const Segment& s : segments) {
    const PackedMlp& mlp = *s.mlp;
    const int64_t inner = mlp.down.k;
    gates.push_back({&mlp.gate_up, {s.x, hidden}, s.rows, {scratch.gate_up.data() + 2 * s.inner, 2 * inner}});
    downs.push_back({&mlp.down,
                     {scratch.inner.data() + s.inner, inner},
                     s.rows,
                     {scratch.answered.data() + s.first * hidden, hidden}});
  }
  multiply_all(model, gates, scratch, pool);
  for (const Segment& s : segments) {
    activate(scratch.gate_up.data() + 2 * s.inner, s.rows, s.mlp->down.k, scratch.inner.data() + s.inner);
  }
  multiply_all(model, downs, scratch, pool);
}

// Gathers the rows of every expert that was chosen, then those of the shared one. `places` gets where in
// scratch.answered the answer of each choice is going to lie.
std::vector<Segment> gather(const PackedLayer& layer, const Choice& choice, const Rows& rows, int64_t hidden,
                            LayerScratch& scratch, std::vector<int64_t>& places) {
  std::vector<std::vector<int64_t>> chosen(layer.experts.size());
  for (size_t i = 0; i < choice.experts.size(); ++i) {
    chosen[static_cast<size_t>(choice.experts[i])].push_back(static_cast<int64_t>(i));
  }
  places.resize(choice.experts.size());
  const auto per_row = static_cast<int64_t>(choice.experts.size()) / rows.count;
  std::vector<Segment> segments;
  Segment next;
  const auto add = [&](const PackedMlp& mlp, const float* x, int count) {
    next.mlp = &mlp;
    next.x = x;
    next.rows = count;
    segments.push_back(next);
    next.first += count;
    next.inner += int64_t{count} * mlp.down.k;
  };
  for (size_t expert = 0; expert < chosen.size(); ++expert) {
    if (chosen[expert].empty()) { continue; }
    float* const x = scratch.gathered.data() + next.first * hidden;
    float* to = x;
    int64_t place = next.first;
    for (const int64_t i : chosen[expert]) {
      to = std::copy_n(scratch.normed.data() + i / per_row * hidden, hidden, to);
      places[static_cast<size_t>(i)] = place++;
    }
    add(layer.experts[expert], x, static_cast<int>(chosen[expert].size()));
    scratch.expert_bytes += layer.experts[expert].bytes();
  }
  if (layer.mlp.down.n > 0) { add(layer.mlp, scratch.normed.data(), rows.count); }
  return segments;
}

void add_scaled(const float* from, float weight, int64_t size, float* to) {
  for (int64_t i = 0; i < size; ++i) { to[i] += weight * from[i]; }
}

void add_experts(const PackedModel& model, const PackedLayer& layer, const Rows& rows, LayerScratch& scratch,
                 cpu::ThreadPool* pool) {
  const int64_t hidden = model.source.config.hidden_size;
  const Choice choice = choose_rows(model, layer, scratch.normed.data(), rows.count);
  std::vector<int64_t> places;
  const std::vector<Segment> segments = gather(layer, choice, rows, hidden, scratch, places);
  answer(model, segments, scratch, pool);
  const float* shared = layer.mlp.down.n > 0 ? scratch.answered.data() + segments.back().first * hidden : nullptr;
  const size_t per_row = places.size() / static_cast<size_t>(rows.count);
  for (int row = 0; row < rows.count; ++row) {
    float* const sum = scratch.normed.data() + row * hidden;  // nobody reads the norm any more
    std::fill_n(sum, hidden, 0.0F);
    for (size_t i = static_cast<size_t>(row) * per_row; i < static_cast<size_t>(row + 1) * per_row; ++i) {
      add_scaled(scratch.answered.data() + places[i] * hidden, choice.weights[i], hidden, sum);
    }
    if (shared != nullptr) { add_scaled(shared + row * hidden, 1.0F, hidden, sum); }
  }
  sum_ranks(model, {scratch.normed.data(), static_cast<size_t>(rows.count * hidden)});
  add_scaled(scratch.normed.data(), 1.0F, rows.count * hidden, rows.x);
}

}  // namespace

cpu::ExpertRule expert_rule(const model::Experts& experts, const float* bias) {
  cpu::ExpertRule rule;
  rule.experts = experts.count;
  rule.chosen = experts.per_token;
  rule.sigmoid = experts.score == model::ExpertScore::kSigmoid;
  rule.bias = experts.bias ? bias : nullptr;
  rule.groups = experts.groups;
  rule.kept_groups = experts.kept_groups;
  rule.two_a_group = experts.group_score == model::GroupScore::kBestTwo;
  rule.normalised = experts.normalised;
  rule.scale = static_cast<float>(experts.scale);
  return rule;
}

void pack_mlp(Packer& packer, const model::LayerWeights& from, int layer, PackedLayer& to) {
  const model::ModelConfig& c = packer.config();
  if (!c.has_experts(layer)) { return pack_one(packer, from.mlp, c.intermediate_size, to.mlp); }
  const model::Experts& experts = *c.experts;
  packer.floats(to.router, {&from.router}, int64_t{experts.count} * c.hidden_size);
  if (experts.bias) { packer.floats(to.router_bias, {&from.router_bias}, experts.count); }
  const model::MlpWeights none;
  for (int expert = 0; expert < experts.count; ++expert) {
    const bool there = packer.writes();
    pack_one(packer, there ? from.experts[static_cast<size_t>(expert)] : none, experts.inner,
             to.experts.emplace_back());
  }
  if (experts.shared_inner > 0) { pack_one(packer, from.mlp, experts.shared_inner, to.mlp); }
}

void add_mlp(const PackedModel& model, int layer, const Rows& rows, LayerScratch& scratch, cpu::ThreadPool* pool) {
  const PackedLayer& weights = model.layers[static_cast<size_t>(layer)];
  norm_rows(model, rows.x, rows.count, weights.mlp_norm, scratch.normed.data());
  if (!weights.experts.empty()) { return add_experts(model, weights, rows, scratch, pool); }
  const PackedWeights& up = weights.mlp.gate_up;
  multiply(model, up, {scratch.normed.data(), up.k}, rows.count, {scratch.gate_up.data(), up.n}, scratch, pool);
  activate(scratch.gate_up.data(), rows.count, weights.mlp.down.k, scratch.inner.data());
  add_product(model, weights.mlp.down, scratch.inner.data(), rows, scratch, pool);
}

int64_t mlp_width(const model::ModelConfig& config) {
  if (!config.experts) { return config.intermediate_size; }
  const model::Experts& experts = *config.experts;
  return std::max(int64_t{config.intermediate_size}, int64_t{experts.per_token} * experts.inner + experts.shared_inner);
}

int64_t mlp_bytes(const PackedLayer& layer) {
  const size_t router = layer.router.size() + layer.router_bias.size();
  return layer.mlp.bytes() + static_cast<int64_t>(router * sizeof(float));
}

}  // namespace vortex::engine
