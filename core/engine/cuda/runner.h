// Everything that runs on the device: prefill, and decode steps as replayed graphs. The host side (cuda_engine.cpp,
// cuda_stepper.cpp) decides who decodes; it talks to the device through SlotState alone.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "base/result.h"
#include "core/compile/cuda/cuda_executable.h"
#include "core/engine/cuda/block_topk.h"
#include "core/engine/cuda/cuda_engine.h"
#include "core/engine/cuda/device.h"
#include "core/engine/cuda/device_model.h"
#include "core/engine/cuda/device_pool.h"
#include "core/engine/cuda/gemm.h"
#include "core/engine/cuda/layers.h"
#include "core/engine/cuda/limits.h"
#include "core/engine/cuda/slots.h"
#include "core/engine/cuda/stages.h"
#include "core/engine/engine.h"
#include "core/engine/prefix.h"
#include "core/vflow/policy.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/log_probs.h"
#include "kernels/cuda/recall.h"

namespace vortex::engine {

// A policy ready to run; without an executable every layer is dense.
struct DevicePolicy {
  vflow::Policy policy;
  std::shared_ptr<const compile::CudaExecutable> executable;
  const BlockTopK* fused = nullptr;  // the executable, where append_kv makes its summaries
  bool zeroes_pages = false;         // fields are read that forward_cache does not write
  int max_selected = 0;

  bool sparse(int layer) const { return executable != nullptr && !vflow::layer_is_dense(policy.config, layer); }
};

class Runner {
 public:
  // Called after the attention of each layer of an eager step.
  using LayerHook = std::function<Status(int layer)>;

  static Result<std::unique_ptr<Runner>> make(model::Model model, const EngineOptions& options,
                                              const CudaOptions& cuda);

  const DeviceModel& model() const { return model_; }
  DevicePool& pool() { return pool_; }
  const DevicePolicy& policy() const { return policy_; }
  SlotState& slots() { return slots_; }
  cudaStream_t stream() const { return stream_.get(); }
  int max_blocks() const { return max_blocks_; }
  const CudaDevice& device() const { return device_; }
  const EngineOptions& options() const { return options_; }
  std::int32_t* table_row(int slot) const { return table_.as<std::int32_t>() + int64_t{slot} * max_blocks_; }
  std::string describe_gemms() const { return gemms_.describe(); }

  Status set_policy(const std::optional<vflow::Policy>& policy);
  void share_memory(int sharers);  // as Engine has it
  // All slots idle, all pages free, counters at zero.
  Status reset(uint64_t scatter_seed = 0);

  // The smallest batch of the ladder that holds `slots` slots. prepare() must have been called for it before it runs:
  // tunes and captures once.
  int capacity_for(int slots) const;
  Status prepare(int capacity);
  // Of ranks, waits for the host threads of all: what is enqueued next may wait for the others on the device, where
  // nobody may still be tuning, allocating, or busy with something else for longer than devices wait.
  Status meet() const;
  // One decode step of slots [0, capacity).
  Status replay(int capacity);
  Status step_eagerly(int capacity, const LayerHook& hook);
  // For profiles: steps prepared from now on lack this stage. What it would have written stays as it was.
  void leave_out(std::optional<Stage> stage);

  // Fills the pages of the idle slot `slot`, whose sampling members are set on the host, with a prompt: computed, or
  // from a snapshot. Samples the first token. Sends the slots' state before and fetches it afterwards; the caller has
  // made sure that there are pages.
  Status prefill(int slot, std::span<const int32_t> prompt);
  // The same in pieces, between which other slots decode while this one has no new tokens: begin_prompt() takes the
  // pages, read_prompt() computes at most `most` tokens (at least one) and gives how many are left; with 0 it has
  // sampled. Pieces change no bit of the outcome. One prompt at a time; its slot may be moved meanwhile.
  Status begin_prompt(int slot, std::span<const int32_t> prompt);
  Result<int> read_prompt(int most);
  // Several prompts at once, each from its first token to its last one, into the idle slots `slot`, slot + 1, ...: as
  // prefill() of one after the other, to the bit, but the weights are read once for all. At most most_together() of
  // them and prompt_chunk() tokens in all, while no other prompt is being read; prepare_prompt() of the sum of their
  // tokens comes before.
  Status read_together(int slot, std::span<const std::span<const int32_t>> prompts);
  int most_together() const;  // 1: this model's prompts go one after the other
  int prompt_chunk() const { return prompt_chunk_; }
  // Forgets the prompt that is being read; the pages stay its slot's.
  void abandon_prompt() { reading_ = {}; }
  Status restore(int slot, const Prefix& prefix);
  // The same without sampling: logits() row 0 has the prompt's logits. For teacher forcing.
  Status start_forced(int slot, std::span<const int32_t> prompt, const Prefix* prefix);
  // Tunes matrix products for a prompt of this length, or for a piece of one, so that what follows only computes.
  Status prepare_prompt(int tokens);
  // Makes requests of these lengths resident in slots 0, 1, ... with whatever the pool holds as their K and V.
  Status place(std::span<const int> lengths);
  Status synchronize() const { return stream_.synchronize("decoding"); }
  // Brings the slots' state to the host once all that was enqueued is done, and says whether ranks have failed.
  Status fetch();
  // The snapshot of a prompt, computed in bf16 whatever the pool's type.
  Result<Prefix> snapshot(std::span<const int32_t> prompt);

  // Gives back the pages of the slots that are marked finished on the host; their lengths become 0.
  Status release_finished();
  // Moves slots on the host and their page tables on the device.
  Status move(std::span<const std::pair<int, int>> from_to);

  // Float32 logits of row `row` of the last step or prompt.
  Status read_logits(int row, float* out) const;
  // What the policy chose for the last layer stepped, and the queries, for observers: rows [0, requests * heads).
  Status read_selection(int layer, int requests, std::vector<int32_t>& blocks, std::vector<int32_t>& counts) const;
  Status read_queries(int requests, std::vector<float>& out) const;
  // Memory for read_kv() of up to so many tokens, which allocates none then: in the midst of a step of ranks it must
  // not.
  Status reserve_kv(int tokens);
  // K and V of the first `tokens` tokens of a slot in one layer, [k, v][kv head][token][head_dim].
  Status read_kv(int layer, int slot, int tokens, std::vector<cpu::Bf16>& out);

  // Adds what the steps since reset() did.
  Status add_counters(RunStats& stats) const;

  // For kernels that read what a step leaves: logits, who took part ([slot], of the last step), and, in a hook, what
  // the layer attended. Sizes and results are the caller's to set.
  cuda::LogProbs logit_rows(const std::uint8_t* active) const;
  const std::uint8_t* granted() const { return granted_.as<std::uint8_t>(); }
  cuda::MeasureRecall attended(int layer, int capacity) const;

 private:
  struct Chunk;

  Runner(EngineOptions options, CudaOptions cuda) : options_(std::move(options)), cuda_(std::move(cuda)) {}
  Status create(model::Model model);
  Result<DevicePolicy> compile(const vflow::Policy& policy) const;
  int64_t pool_share(int64_t free, int64_t whole) const;
  Result<int> pool_pages(int block, cuda::KvType type, const vflow::Policy* policy) const;
  Status make_room(size_t bytes);
  Status reserve_policy_memory();

  Status prepare_chunk(int rows, bool last);
  Status enqueue_step(int capacity, const LayerHook* hook);
  Status begin_step(int capacity);
  Status finish_step(int capacity);
  compile::CudaBatch scored_batch(int layer, int capacity) const;
  compile::CudaSelection selected(int layer) const;
  cuda::DecodeAttention attention(int layer, int capacity) const;
  Status select(int layer, int capacity);
  Status attend(int layer, int capacity, bool sparse);
  // Thread blocks that a row of attention may be spread over.
  int row_pieces() const { return cuda_.batch_invariant ? cuda_.row_pieces : cuda::decode_row::kMaxRanks; }
  Status select_and_attend(int layer, int capacity);
  Status sample(int first, int rows, const std::uint8_t* active);
  cuda::EndStep end_of(int first, int count, const std::uint8_t* granted) const;
  compile::CudaBatch batch(int layer, int requests, const std::int32_t* lengths) const;
  cuda::PageTable table(const std::int32_t* lengths) const;
  cuda::Selection selection(int layer) const;

  Status take_pages(std::span<const int> tokens);  // [slot] new tokens wanted
  Status take_prompt_pages(int slot, std::span<const int> tokens);
  Status compute_prompt(std::span<const int32_t> prompt, DevicePool& pool, const std::int32_t* pages);
  Status compute_chunk(const Chunk& chunk, DevicePool& pool);
  Status compute_layers(const Chunk& chunk, DevicePool& pool);
  Status attend_prompts(const Chunk& chunk, const cuda::KvPool& kv, bool narrow);
  Status keep_ends(const Chunk& chunk);
  Status last_logits(int rows, int prompts);
  // Does the last layer of a prompt compute its last row alone? Ranks have the residual of some rows each.
  bool narrows() const { return cuda_.link == nullptr; }
  Status import_layer(int layer, int slot, cuda::Bf16* data, int tokens);
  Status load_snapshot(int slot, const Prefix& prefix);
  Status summarise(int first_slot, int slots, int tokens);
  Status finish_prompts(int slot, int prompts);

  EngineOptions options_;
  CudaOptions cuda_;
  CudaDevice device_;
  Stream stream_;
  DeviceModel model_;
  Gemms gemms_;
  Activations activations_;
  std::optional<Layers> layers_;
  DevicePool pool_;
  DevicePolicy policy_;
  SlotState slots_;
  int max_blocks_ = 0;
  DeviceMemory table_;         // [slot][max_blocks]
  DeviceMemory step_lengths_;  // [slot]
  DeviceMemory granted_;       // [slot]
  DeviceMemory budgets_;       // [slot]
  DeviceMemory selected_;      // [row][max_selected]
  DeviceMemory counts_;        // [layer][row]
  DeviceMemory workspace_;     // of the policy
  DeviceMemory attention_memory_;
  DeviceMemory selects_;       // [layer]
  DeviceMemory counters_;      // [layer]
  DeviceMemory chunk_tokens_;  // [row]
  DeviceMemory chunk_rows_;    // prompts, positions: [2][row]
  DeviceMemory image_;         // one layer of a snapshot
  int prompt_chunk_ = 0;       // rows at most
  // The prompt that is read in pieces; slot -1: none.
  struct Reading {
    int slot = -1;
    std::vector<int32_t> prompt;
    size_t done = 0;
  };
  Reading reading_;
  std::map<int, Graph> graphs_;
  std::set<int> prepared_rows_;  // of chunks of prompts
  std::optional<Stage> left_out_;
};

}  // namespace vortex::engine
