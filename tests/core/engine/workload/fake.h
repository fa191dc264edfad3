// An engine whose steps take the time that a formula says.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/engine/engine.h"
#include "core/engine/limit.h"
#include "core/engine/requests.h"
#include "core/engine/stepper.h"

namespace vortex::testing {

// One layer, one kv head: a token is 256 bytes.
inline model::ModelConfig small_config() {
  model::ModelConfig config;
  config.num_layers = 1;
  config.hidden_size = 64;
  config.num_q_heads = 1;
  config.num_kv_heads = 1;
  config.head_dim = 64;
  config.intermediate_size = 64;
  config.vocab_size = 64;
  config.max_position_embeddings = 1 << 20;
  return config;
}

// Seconds of a step of requests of these lengths.
using StepCost = std::function<double(const std::vector<int>&)>;

struct FakePool {
  int block = 16;
  int64_t pages = 1 << 20;
  int max_batch = 64;
  int max_context = 1 << 20;
  int steps_per_round = 8;
  bool on_device = true;
};

class FakeStepper final : public engine::Stepper {
 public:
  FakeStepper(FakePool pool, StepCost cost) : pool_(pool), cost_(std::move(cost)) {}

  Status place(std::span<const int> lengths, std::span<const engine::PrefixPtr> /*donors*/) override {
    lengths_.assign(lengths.begin(), lengths.end());
    placed_ = {};
    for (const int length : lengths) { placed_.tokens += length; }
    return fits();
  }
  engine::Placed placed() const override { return placed_; }
  Result<double> admit(int prompt_tokens) override {
    lengths_.push_back(prompt_tokens);
    return prompt_tokens * 1e-6;
  }
  Status retire(int index) override {
    lengths_.erase(lengths_.begin() + index);
    return ok_status();
  }
  Result<double> run(int steps) override {
    double seconds = 0;
    for (int i = 0; i < steps; ++i) {
      for (int& length : lengths_) { ++length; }
      seconds += cost_(lengths_);
    }
    VORTEX_TRY(fits());
    stats_.decode_steps += steps;
    return seconds;
  }
  Result<engine::RunStats> stats() override { return stats_; }
  int block_size() const override { return pool_.block; }
  int64_t pages() const override { return pool_.pages; }
  int max_batch() const override { return pool_.max_batch; }
  int max_context() const override { return pool_.max_context; }
  int steps_per_round() const override { return pool_.steps_per_round; }
  vflow::Dtype kv_dtype() const override { return vflow::Dtype::kBf16; }
  bool on_device() const override { return pool_.on_device; }
  Result<double> copy_bandwidth() override { return 1e9; }
  std::string device() const override { return "a formula"; }
  std::string notes() const override { return {}; }

 private:
  Status fits() const {
    int64_t pages = 0;
    for (const int length : lengths_) {
      if (length < 1 || length > pool_.max_context) { return candidate_error("a request does not fit the context"); }
      pages += (length + pool_.block - 1) / pool_.block;
    }
    if (pages > pool_.pages || static_cast<int>(lengths_.size()) > pool_.max_batch) {
      return candidate_error("these requests do not fit the pool");
    }
    return ok_status();
  }

  FakePool pool_;
  StepCost cost_;
  std::vector<int> lengths_;
  engine::Placed placed_;
  engine::RunStats stats_;
};

// Gives a stepper with one formula under dense attention and with another one under any policy.
class FakeEngine final : public engine::Engine {
 public:
  FakeEngine(FakePool pool, StepCost dense, StepCost sparse)
      : pool_(pool), dense_(std::move(dense)), sparse_(std::move(sparse)) {
    model_.config = small_config();
  }
  Status set_policy(const std::optional<vflow::Policy>& policy) override {
    has_policy_ = policy.has_value();
    return ok_status();
  }
  std::unique_ptr<engine::Stepper> stepper() override {
    pool_.pages -= lost_pages;
    return std::make_unique<FakeStepper>(pool_, has_policy_ ? sparse_ : dense_);
  }
  Result<std::vector<engine::Output>> generate(const std::vector<engine::Request>&, engine::RunStats*) override {
    return internal_error("a formula generates nothing");
  }
  Result<std::vector<float>> teacher_force(const engine::Request&, std::span<const int32_t>,
                                           const engine::AttentionObserver&, engine::RunStats*) override {
    return internal_error("a formula generates nothing");
  }
  Result<std::vector<engine::Forced>> force_decode(std::span<const engine::ForcedRequest>, const engine::ForcedOptions&,
                                                   engine::RunStats*) override {
    return internal_error("a formula generates nothing");
  }
  std::shared_ptr<const compile::Executable> executable() const override { return nullptr; }
  Result<engine::PrefixPtr> prefix(const std::vector<int32_t>&, const std::filesystem::path&) override {
    return internal_error("a formula generates nothing");
  }
  const model::Model& model() const override { return model_; }

  bool has_policy() const { return has_policy_; }
  int64_t lost_pages = 0;  // with every stepper

 private:
  FakePool pool_;
  StepCost dense_;
  StepCost sparse_;
  bool has_policy_ = false;
  model::Model model_;
};

// What the limit model counts, at a gigabyte a second.
inline double bytes_cost(const std::vector<int>& lengths) {
  return static_cast<double>(engine::step_bytes(small_config(), nullptr, vflow::Dtype::kBf16, lengths).total()) * 1e-9;
}

}  // namespace vortex::testing
