#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/compile/cpu/cpu_executable.h"
#include "core/engine/engine.h"
#include "core/engine/kv_pool.h"
#include "core/engine/packed_model.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

// A request with its tokens in the pool.
struct Sequence {
  std::vector<int32_t> pages;  // physical page of each logical block
  int length = 0;              // tokens in the cache
  int32_t next_token = 0;      // sampled or forced, not in the cache yet
};

// A policy, or the oracle in its place, ready to run; null executable means dense attention in every layer.
struct ActivePolicy {
  vflow::Policy policy;
  std::shared_ptr<const compile::CpuExecutable> executable;
  int64_t scored_bytes = 0;  // fields that scoring one block of one row reads

  bool sparse(int layer) const { return executable != nullptr && !vflow::layer_is_dense(policy.config, layer); }
};

// Runs decode steps of one model over one pool.
class Decoder {
 public:
  Decoder(const PackedModel& model, KvPool& pool, const ActivePolicy& policy, cpu::ThreadPool* threads);

  // Fills the policy's fields of every completed page of a sequence, from its page `first` on, whose K and V were just
  // written.
  void update_completed(const Sequence& sequence, int first = 0);

  // Feeds next_token of each sequence, whose pages have room for it: appends K and V, attends, and returns logits
  // [sequence][vocab], valid until the next call. Each sequence's logits depend on that sequence alone.
  const float* step(std::span<Sequence* const> batch, const AttentionObserver* observer, RunStats& stats);

 private:
  void plan(std::span<Sequence* const> batch);
  void append(int layer, const LayerScratch& scratch);
  void attend(int layer, const AttentionObserver* observer, RunStats& stats);
  void count(int layer, RunStats& stats) const;

  const PackedModel& model_;
  KvPool& pool_;
  const ActivePolicy& policy_;
  cpu::ThreadPool* threads_;

  // The batch of the current step.
  int requests_ = 0;
  int max_blocks_ = 0;
  std::vector<int32_t> block_table_;  // [request][max_blocks]
  std::vector<int32_t> positions_;    // [request], of the token being fed
  std::vector<int32_t> seq_lens_;     // [request], that token included
  std::vector<int32_t> filled_;       // pages that this token completes
  std::vector<float> x_;
  std::vector<float> q_;
  std::vector<float> attended_;
  std::vector<float> logits_;
  compile::Selection selection_;
};

}  // namespace vortex::engine
