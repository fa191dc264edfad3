#include "core/engine/tensor_parallel.h"

#include <algorithm>
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
    for (const Request& request : requests) { VORTEX_TRY(check_prefix(request)); }
    return gather<std::vector<Output>>(stats, [&](Engine& engine, int rank, RunStats& own) {
      std::vector<Request> of_rank;
      for (const Request& request : requests) {
        of_rank.push_back(request_of_rank(request, rank));
        if (rank != 0) { of_rank.back().on_token = {}; }  // tokens are told once
      }
      return engine.generate(of_rank, &own);
    });
  }

  Result<std::vector<float>> teacher_force(const Request& request, std::span<const int32_t> continuation,
                                           const AttentionObserver& observer, RunStats* stats) override {
    VORTEX_TRY(refuse_observer(static_cast<bool>(observer)));
    VORTEX_TRY(check_prefix(request));
    return gather<std::vector<float>>(stats, [&](Engine& engine, int rank, RunStats& own) {
      return engine.teacher_force(request_of_rank(request, rank), continuation, {}, &own);
    });
  }

  Result<std::vector<Forced>> force_decode(std::span<const ForcedRequest> requests, const ForcedOptions& options,
                                           RunStats* stats) override {
    VORTEX_TRY(refuse_observer(static_cast<bool>(options.observer)));
    for (const ForcedRequest& request : requests) { VORTEX_TRY(check_prefix(request.request)); }
    std::vector<std::vector<Forced>> of_ranks(ranks_.engines.size());
    const auto force = [&](Engine& engine, int rank, RunStats& own) -> Result<std::vector<Forced>> {
      std::vector<ForcedRequest> of_rank(requests.begin(), requests.end());
      for (ForcedRequest& request : of_rank) { request.request = request_of_rank(request.request, rank); }
      VORTEX_ASSIGN(of_ranks[static_cast<size_t>(rank)], engine.force_decode(of_rank, options, &own));
      return rank == 0 ? of_ranks[0] : std::vector<Forced>();
    };
    VORTEX_ASSIGN(std::vector<Forced> forced, gather<std::vector<Forced>>(stats, force));
    for (size_t i = 0; i < forced.size(); ++i) { forced[i].recall = all_heads(of_ranks, i); }
    return forced;
  }

  // As a file it is of all heads, whatever the ranks: one reads it, all get their part, or all compute theirs.
  Result<PrefixPtr> prefix(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) override {
    if (!ranks_.prefill) { return PrefixPtr(); }
    const std::filesystem::path path = folder / prefix_file_name(whole_, prompt);
    if (auto loaded = load_prefix(path, whole_, prompt)) { return std::make_shared<const Prefix>(std::move(*loaded)); }
    std::vector<Prefix> parts(ranks_.engines.size());
    VORTEX_TRY(on_all([&](Engine&, int rank) -> Status {
      VORTEX_ASSIGN(parts[static_cast<size_t>(rank)], ranks_.prefill(rank, prompt));
      return ok_status();
    }));
    const auto joined = std::make_shared<const Prefix>(join_prefixes(parts, whole_, prompt));
    VORTEX_TRY(save_prefix(*joined, path));
    return PrefixPtr(joined);
  }
  Result<PrefixPtr> snapshot(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) override {
    if (!ranks_.prefill) { return environment_error("prompts of a model on several ranks are not kept"); }
    return prefix(prompt, folder);
  }

  const model::Model& model() const override { return whole_; }
  std::shared_ptr<const compile::Executable> executable() const override { return first().executable(); }
  std::unique_ptr<Stepper> stepper() override {
    std::vector<std::unique_ptr<Stepper>> steppers;
    for (const auto& engine : ranks_.engines) { steppers.push_back(engine->stepper()); }
    const auto on_all_ranks = [this](const std::function<Status(int)>& work) {
      return on_all([&](Engine&, int rank) { return work(rank); });
    };
    const auto part = [this](const PrefixPtr& donor, int rank) { return part_of(donor, {}, rank); };
    return make_tensor_parallel_stepper(std::move(steppers), on_all_ranks, part);
  }

 private:
  const Engine& first() const { return *ranks_.engines[0]; }

  Status on_all(const std::function<Status(Engine& engine, int rank)>& work) {
    const auto enter = [&](int rank) -> Status {
      if (ranks_.enter) { VORTEX_TRY(ranks_.enter(rank)); }
      return work(*ranks_.engines[static_cast<size_t>(rank)], rank);
    };
    return on_ranks(*ranks_.waits, enter);
  }

  // Of the whole; a rank's part says of itself what it is asked to be.
  Status check_prefix(const Request& request) const {
    if (request.prefix == nullptr || prefix_matches(*request.prefix, whole_, request.prompt)) { return ok_status(); }
    return internal_error("a request's prefix was made from another prompt or by another model");
  }

  // What a rank has of a prompt's K and V.
  PrefixPtr part_of(const PrefixPtr& prefix, std::span<const int32_t> prompt, int rank) const {
    if (prefix == nullptr) { return nullptr; }
    const model::Model& part = ranks_.engines[static_cast<size_t>(rank)]->model();
    const int first_head = rank * part.config.num_kv_heads;
    return std::make_shared<const Prefix>(part_of_prefix(prefix, part, prompt, first_head));
  }
  Request request_of_rank(const Request& request, int rank) const {
    Request own = request;
    own.prefix = part_of(request.prefix, request.prompt, rank);
    return own;
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

RankEngines::~RankEngines() {
  if (engines.empty()) { return; }
  std::thread([this] {
    for (size_t rank = 0; rank < engines.size(); ++rank) {
      if (enter) { (void)enter(static_cast<int>(rank)); }
      engines[rank].reset();
    }
  }).join();
}

Status on_ranks(CpuRanks& waits, const std::function<Status(int rank)>& work) {
  VORTEX_TRY(waits.begin());
  const int ranks = waits.ranks();
  std::vector<Status> results(static_cast<size_t>(ranks), ok_status());
  std::atomic<int> first = -1;  // the rank that failed first: others may have failed for it
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      Status& result = results[static_cast<size_t>(rank)];
      result = work(rank);
      int none = -1;
      if (!result.ok()) { first.compare_exchange_strong(none, rank); }
      waits.leave(rank, result);
    });
  }
  for (std::thread& thread : threads) { thread.join(); }
  if (first < 0) { return ok_status(); }
  const Error& error = results[static_cast<size_t>(first.load())].error();
  const bool all_refuse = std::all_of(results.begin(), results.end(), [](const Status& result) {
    return !result.ok() && result.error().blame == Blame::kCandidate;
  });
  if (!all_refuse) { waits.end(error); }
  return error;
}

std::unique_ptr<Engine> make_tensor_parallel_engine(RankEngines ranks, model::Model whole) {
  return std::make_unique<TensorParallelEngine>(std::move(ranks), std::move(whole));
}

Result<RankEngines> make_cpu_ranks(const model::Model& model, const EngineOptions& options, int ranks) {
  std::vector<ShardPlan> plans;
  for (int rank = 0; rank < ranks; ++rank) {
    VORTEX_ASSIGN(plans.emplace_back(), plan_shard(model.config, rank, ranks));
  }
  const auto all = std::make_shared<CpuRanks>(ranks);
  std::vector<CpuEngine*> engines(plans.size());
  RankEngines made;
  made.engines.resize(plans.size());
  made.waits = all;
  const auto make = [&](int rank) -> Status {
    const ShardPlan& plan = plans[static_cast<size_t>(rank)];
    const auto end = std::make_shared<const CpuRank>(CpuRank{all, plan});
    VORTEX_ASSIGN(std::unique_ptr<CpuEngine> engine, CpuEngine::make(shard_model(model, plan), options, end));
    engines[static_cast<size_t>(rank)] = engine.get();
    made.engines[static_cast<size_t>(rank)] = std::move(engine);
    return ok_status();
  };
  VORTEX_TRY(on_ranks(*all, make));
  made.prefill = [engines](int rank, const std::vector<int32_t>& prompt) {
    return engines[static_cast<size_t>(rank)]->compute_prefix(prompt);
  };
  return made;
}

Result<std::unique_ptr<Engine>> make_tensor_parallel_cpu_engine(const model::Model& model, const EngineOptions& options,
                                                                int ranks) {
  VORTEX_ASSIGN(RankEngines made, make_cpu_ranks(model, options, ranks));
  model::Model whole = model;
  whole.arithmetic = made.engines[0]->model().arithmetic;
  return make_tensor_parallel_engine(std::move(made), std::move(whole));
}

}  // namespace vortex::engine
