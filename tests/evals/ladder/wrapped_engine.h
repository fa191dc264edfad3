// An engine that hands every call to another one, so that a test can plant a fault in between.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/engine/engine.h"
#include "core/engine/stepper.h"

namespace vortex::evals {

class WrappedEngine : public engine::Engine {
 public:
  explicit WrappedEngine(std::unique_ptr<engine::Engine> real) : real_(std::move(real)) {}

  Status set_policy(const std::optional<vflow::Policy>& policy) override { return real_->set_policy(policy); }
  Result<std::vector<engine::Output>> generate(const std::vector<engine::Request>& requests,
                                               engine::RunStats* stats) override {
    return real_->generate(requests, stats);
  }
  Result<std::vector<float>> teacher_force(const engine::Request& request, std::span<const int32_t> continuation,
                                           const engine::AttentionObserver& observer,
                                           engine::RunStats* stats) override {
    return real_->teacher_force(request, continuation, observer, stats);
  }
  Result<std::vector<engine::Forced>> force_decode(std::span<const engine::ForcedRequest> requests,
                                                   const engine::ForcedOptions& options,
                                                   engine::RunStats* stats) override {
    return real_->force_decode(requests, options, stats);
  }
  Result<engine::PrefixPtr> prefix(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) override {
    return real_->prefix(prompt, folder);
  }
  std::unique_ptr<engine::Stepper> stepper() override { return real_->stepper(); }
  const model::Model& model() const override { return real_->model(); }
  std::shared_ptr<const compile::Executable> executable() const override { return real_->executable(); }

 private:
  std::unique_ptr<engine::Engine> real_;
};

// An engine that compiles, and runs, another policy than it was asked for.
class MiscompilingEngine final : public WrappedEngine {
 public:
  using Change = void (*)(vflow::Policy&);
  MiscompilingEngine(std::unique_ptr<engine::Engine> real, Change change)
      : WrappedEngine(std::move(real)), change_(change) {}
  Status set_policy(const std::optional<vflow::Policy>& policy) override {
    std::optional<vflow::Policy> wrong = policy;
    if (wrong) { change_(*wrong); }
    return WrappedEngine::set_policy(wrong);
  }

 private:
  Change change_;
};

// A wrong scoring kernel: a maximum where the policy takes a mean. Shapes, budgets and determinism are all in order.
inline void score_by_maximum(vflow::Policy& policy) {
  for (vflow::Node& node : policy.program.indexer.nodes) {
    if (node.op == vflow::Op::kMean) { node.op = vflow::Op::kMax; }
  }
}

// Right scores, one page too many or too few.
inline void choose_one_more(vflow::Policy& policy) { ++policy.config.topk_val; }
inline void choose_one_less(vflow::Policy& policy) { --policy.config.topk_val; }

// Steps that stay those of the policy that was set first, as a captured graph would that nobody captures anew; what the
// engine says that it compiled is right.
class StaleEngine final : public WrappedEngine {
 public:
  using WrappedEngine::WrappedEngine;
  Status set_policy(const std::optional<vflow::Policy>&) override { return ok_status(); }
};

// Steps that leave out a page of what the policy chose, although the kernels that choose are right: they are `right`'s.
class DroppingEngine final : public WrappedEngine {
 public:
  DroppingEngine(std::unique_ptr<engine::Engine> real, std::shared_ptr<const compile::Executable> right)
      : WrappedEngine(std::move(real)), right_(std::move(right)) {}
  Status set_policy(const std::optional<vflow::Policy>& policy) override {
    std::optional<vflow::Policy> wrong = policy;
    if (wrong) { choose_one_less(*wrong); }
    return WrappedEngine::set_policy(wrong);
  }
  std::shared_ptr<const compile::Executable> executable() const override { return right_; }

 private:
  std::shared_ptr<const compile::Executable> right_;
};

}  // namespace vortex::evals
