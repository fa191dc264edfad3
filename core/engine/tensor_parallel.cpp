#include "core/engine/tensor_parallel.h"

#include <atomic>
#include <optional>
#include <string>
#include <thread>

#include "core/engine/cpu_engine.h"
#include "core/engine/shard.h"
#include "core/engine/tensor_parallel_stepper.h"

namespace vortex::engine {
namespace {

Status refuse_observer(bool there_is_one) {
  if (!there_is_one) { return ok_status(); }
  return environment_error("no rank of a model sees all its heads, so nobody can look at them all at once",
                           "observe it without --tensor-parallel");
}

class TensorParallelEngine final : public Engine {
 public:
  TensorParallelEngine(RankEngines ranks, model::Model whole) : ranks_(std::move(ranks)), whole_(std::move(whole)) {}

  Status set_policy(const std::optional<vflow::Policy>& policy) override {
    return on_all([&](Engine& engine, int) { return engine.set_policy(policy); });
  }
  void share_memory(int sharers) override {
    (void)on_all([&](Engine& engine, int) {
      engine.share_memory(sharers);
      return ok_status();
    });
  }
  bool has_oracle() const override { return first().has_oracle(); }
  Status set_oracle(const vflow::EngineConfig& budget) override {
    return on_all([&](Engine& engine, int) { return engine.set_oracle(budget); });
  }

  Result<std::vector<Output>> generate(const std::vector<Request>& requests, RunStats* stats) override {
    std::vector<Request> silent = requests;  // tokens are told once
    for (Request& request : silent) { request.on_token = {}; }
    return gather<std::vector<Output>>(stats, [&](Engine& engine, int rank, RunStats& own) {
      return engine.generate(rank == 0 ? requests : silent, &own);
    });
  }

  Result<std::vector<float>> teacher_force(const Request& request, std::span<const int32_t> continuation,
                                           const AttentionObserver& observer, RunStats* stats) override {
    VORTEX_TRY(refuse_observer(static_cast<bool>(observer)));
    return gather<std::vector<float>>(stats, [&](Engine& engine, int, RunStats& own) {
      return engine.teacher_force(request, continuation, {}, &own);
    });
  }

  Result<std::vector<Forced>> force_decode(std::span<const ForcedRequest> requests, const ForcedOptions& options,
                                           RunStats* stats) override {
    VORTEX_TRY(refuse_observer(static_cast<bool>(options.observer)));
    std::vector<std::vector<Forced>> of_ranks(ranks_.engines.size());
    const auto force = [&](Engine& engine, int rank, RunStats& own) -> Result<std::vector<Forced>> {
      VORTEX_ASSIGN(of_ranks[static_cast<size_t>(rank)], engine.force_decode(requests, options, &own));
      return rank == 0 ? of_ranks[0] : std::vector<Forced>();
    };
    VORTEX_ASSIGN(std::vector<Forced> forced, gather<std::vector<Forced>>(stats, force));
    for (size_t i = 0; i < forced.size(); ++i) { forced[i].recall = all_heads(of_ranks, i); }
    return forced;
  }

  Result<PrefixPtr> prefix(const std::vector<int32_t>&, const std::filesystem::path&) override { return PrefixPtr(); }
  Result<PrefixPtr> snapshot(const std::vector<int32_t>&, const std::filesystem::path&) override {
    return environment_error("prompts of a model on several ranks are not kept");
  }

  const model::Model& model() const override { return whole_; }
  std::shared_ptr<const compile::Executable> executable() const override { return first().executable(); }
  std::unique_ptr<Stepper> stepper() override {
    std::vector<std::unique_ptr<Stepper>> steppers;
    for (const auto& engine : ranks_.engines) { steppers.push_back(engine->stepper()); }
    return make_tensor_parallel_stepper(std::move(steppers), [this](const std::function<Status(int)>& work) {
      return on_all([&](Engine&, int rank) { return work(rank); });
    });
  }

 private:
  const Engine& first() const { return *ranks_.engines[0]; }

  Status on_all(const std::function<Status(Engine& engine, int rank)>& work) {
    const auto enter = [&](int rank) -> Status {
      if (ranks_.enter) { VORTEX_TRY(ranks_.enter(rank)); }
      return work(*ranks_.engines[static_cast<size_t>(rank)], rank);
    };
    return on_ranks(static_cast<int>(ranks_.engines.size()), enter, ranks_.abandon);
  }

  // What rank 0 gives, and the counters of all.
  template <typename Value>
  Result<Value> gather(RunStats* stats, const std::function<Result<Value>(Engine&, int, RunStats&)>& work) {
    std::vector<RunStats> counted(ranks_.engines.size());
    std::optional<Value> value;
    VORTEX_TRY(on_all([&](Engine& engine, int rank) -> Status {
      Result<Value> made = work(engine, rank, counted[static_cast<size_t>(rank)]);
      if (!made.ok()) { return made.error(); }
      if (rank == 0) { value = std::move(*made); }
      return ok_status();
    }));
    if (stats != nullptr) { *stats = stats_of_ranks(counted); }
    return std::move(*value);
  }

  // [layer][kv head] of all ranks, of request `index`.
  std::vector<AttentionRecall> all_heads(const std::vector<std::vector<Forced>>& of_ranks, size_t index) const {
    const auto layers = static_cast<size_t>(whole_.config.num_layers);
    const size_t heads = of_ranks[0][index].recall.size() / layers;
    std::vector<AttentionRecall> all;
    for (size_t layer = 0; layer < layers; ++layer) {
      for (const std::vector<Forced>& forced : of_ranks) {
        const auto begin = forced[index].recall.begin() + static_cast<std::ptrdiff_t>(layer * heads);
        all.insert(all.end(), begin, begin + static_cast<std::ptrdiff_t>(heads));
      }
    }
    return all;
  }

  RankEngines ranks_;
  model::Model whole_;
};

}  // namespace

Status on_ranks(int ranks, const std::function<Status(int rank)>& work, const std::function<void()>& abandon) {
  std::vector<Status> results(static_cast<size_t>(ranks), ok_status());
  std::atomic<int> first = -1;  // the rank that failed first: others may have failed for it
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Status& result = results[static_cast<size_t>(rank)];
      result = work(rank);
      if (result.ok()) { return; }
      int none = -1;
      first.compare_exchange_strong(none, rank);
      if (result.error().blame != Blame::kCandidate && abandon) { abandon(); }
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  return first < 0 ? ok_status() : results[static_cast<size_t>(first.load())];
}

std::unique_ptr<Engine> make_tensor_parallel_engine(RankEngines ranks, model::Model whole) {
  return std::make_unique<TensorParallelEngine>(std::move(ranks), std::move(whole));
}

Result<std::unique_ptr<Engine>> make_tensor_parallel_cpu_engine(const model::Model& model, const EngineOptions& options,
                                                                int ranks) {
  std::vector<ShardPlan> plans;
  for (int rank = 0; rank < ranks; ++rank) {
    VORTEX_ASSIGN(plans.emplace_back(), plan_shard(model.config, rank, ranks));
  }
  const auto all = std::make_shared<CpuRanks>(ranks);
  RankEngines made;
  made.engines.resize(plans.size());
  made.abandon = [all] { all->abandon(); };
  const auto make = [&](int rank) -> Status {
    const ShardPlan& plan = plans[static_cast<size_t>(rank)];
    const auto end = std::make_shared<const CpuRank>(CpuRank{all, plan});
    VORTEX_ASSIGN(made.engines[static_cast<size_t>(rank)], CpuEngine::make(shard_model(model, plan), options, end));
    return ok_status();
  };
  VORTEX_TRY(on_ranks(ranks, make, made.abandon));
  model::Model whole = model;
  whole.arithmetic = made.engines[0]->model().arithmetic;
  return make_tensor_parallel_engine(std::move(made), std::move(whole));
}

}  // namespace vortex::engine
