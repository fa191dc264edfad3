#pragma once

#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "core/engine/cpu_ranks.h"
#include "core/engine/decode.h"
#include "core/engine/engine.h"
#include "core/engine/kv_pool.h"
#include "core/engine/packed_model.h"
#include "core/engine/prefix.h"
#include "core/engine/session.h"
#include "core/engine/stepper.h"
#include "kernels/cpu/parallel.h"

namespace vortex::engine {

// Calls `body`, which gives a Result; running out of memory becomes the environment's error, the end of a model's ranks
// its reason.
template <typename Body>
auto guarded(const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return environment_error("the CPU engine ran out of memory", "use a smaller batch, context or KV pool");
  } catch (const RanksEnded& ended) { return ended.reason; }
}

// What a CPU engine consists of, for its stepper and its sessions.
struct CpuParts {
  const PackedModel& model;
  const EngineOptions& options;
  cpu::ThreadPool& threads;
  KvPool& pool;
  const ActivePolicy& policy;
};
std::unique_ptr<Stepper> make_cpu_stepper(const CpuParts& parts);

class CpuEngine : public Engine {
 public:
  // Of a model that is spread over ranks, `model` is one rank's part, and all ranks' engines are made and called alike,
  // each on its own thread; the options must say one thread.
  static Result<std::unique_ptr<CpuEngine>> make(model::Model model, const EngineOptions& options,
                                                 std::shared_ptr<const CpuRank> rank = nullptr);

  Status set_policy(const std::optional<vflow::Policy>& policy) override;
  Result<std::vector<Output>> generate(const std::vector<Request>& requests, RunStats* stats) override;
  Result<std::vector<float>> teacher_force(const Request& request, std::span<const int32_t> continuation,
                                           const AttentionObserver& observer, RunStats* stats) override;
  Result<std::vector<Forced>> force_decode(std::span<const ForcedRequest> requests, const ForcedOptions& options,
                                           RunStats* stats) override;
  bool has_oracle() const override { return true; }
  Status set_oracle(const vflow::EngineConfig& budget) override;
  Result<PrefixPtr> prefix(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) override;
  // Computed whatever lies anywhere.
  Result<Prefix> compute_prefix(const std::vector<int32_t>& prompt);
  const model::Model& model() const override { return model_.source; }
  std::shared_ptr<const compile::Executable> executable() const override { return policy_.executable; }
  std::unique_ptr<Stepper> stepper() override { return make_cpu_stepper(parts()); }

  std::unique_ptr<Session> session(const SessionOptions& options = {}) override;

  KvPool& pool() { return pool_; }

 private:
  class ForcedRun;

  CpuEngine(PackedModel model, const EngineOptions& options);
  CpuParts parts() { return {model_, options_, threads_, pool_, policy_}; }
  // The prompt's K and V: the request's own prefix, or a fresh prefill.
  PrefixPtr prompt_kv(const Request& request, RunStats& stats);
  // Lays the pool out for `block_size`, and for the fields of `policy` if there is one.
  Status configure_pool(int block_size, const vflow::Policy* policy);
  // Takes pages for the prompt and fills them.
  Sequence start(const Prefix& prefix, Decoder& decoder);

  PackedModel model_;
  EngineOptions options_;
  cpu::ThreadPool threads_;
  KvPool pool_;
  ActivePolicy policy_;
  RunStats served_;  // by the newest session
};

}  // namespace vortex::engine
