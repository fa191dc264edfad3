#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "core/compile/executable.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"
#include "kernels/cpu/unit.h"

namespace vortex::engine {

struct SamplingParams {
  double temperature = 0.0;  // 0 is greedy
  double top_p = 1.0;
  int top_k = 0;  // 0: no limit
};

// The KV of a prompt after dense prefill, independent of any policy's selection; shared by all candidates.
// Opaque; tied to one model (by hash) and block size. Files are memory-mapped.
struct Prefix;
using PrefixPtr = std::shared_ptr<const Prefix>;

struct Request {
  std::vector<int32_t> prompt;
  PrefixPtr prefix;   // optional: the prompt's KV; null means prefill
  uint64_t seed = 0;  // sampling depends on (seed, position) alone, never on the batch
  int max_new_tokens = 1;
  bool ignore_eos = false;  // decode exactly max_new_tokens: fixed work
  SamplingParams sampling;
  // Optional: gets every new token in order, soon after it is there (the CUDA engine looks every few steps); `last`:
  // the request ends with it. Called inside generate(), for several requests in turn.
  std::function<void(int32_t token, bool last)> on_token;
};

struct Output {
  std::vector<int32_t> tokens;  // without the prompt; includes the stop token if one ended it
  bool stopped = false;         // ended by a stop token
};

// Counters of one run; evidence that the sparse path ran.
struct RunStats {
  double prefill_seconds = 0;
  double decode_seconds = 0;
  std::vector<double> step_seconds;  // of each decode step; on CUDA the mean of each few that are replayed together
  int64_t prefill_tokens = 0;
  int64_t decode_tokens = 0;
  int64_t decode_steps = 0;
  int64_t sparse_layer_calls = 0;  // (request, layer, step) triples that went through the policy
  int64_t dense_layer_calls = 0;
  std::vector<int64_t> pages_visible;   // per layer: pages of all rows, summed over decode steps
  std::vector<int64_t> pages_attended;  // per layer: pages attended
  int64_t kv_bytes_read = 0;            // K, V and fields, as the limit model counts them
  int64_t weight_bytes_read = 0;
};

struct KeptModel;

struct EngineOptions {
  int threads = 1;
  int max_batch = 16;           // requests decoded together
  int64_t kv_memory_bytes = 0;  // pool size; 0: enough for max_batch requests of max_context tokens
  int max_context = 4608;
  cpu::Unit unit = cpu::Unit::kFloat32;  // of the CPU engine's products (cpu_math.h); other engines do not look at it
  // Weights and prompts' KV that a keeper holds where this engine wants them (kept_model.h), for a model without
  // weights.
  std::shared_ptr<const KeptModel> kept;
  int64_t spare_bytes = 0;  // of a device, left free beside the pool: for snapshots of prompts and probes
  int device_sharers = 1;   // as share_memory() has it
};

// Sees every sparse-or-dense attention call of a decode step (recall probes). Pointers live for the call.
struct AttentionView {
  int layer;
  int requests;
  const float* q;  // [request][kv head][group][head_dim]
  const compile::LayerCache* cache;
  const int32_t* block_table;  // [request][max_blocks]
  int max_blocks;
  const int32_t* seq_lens;              // [request]
  const compile::Selection* selection;  // null when the layer is dense
  int group = 1;                        // query heads a kv head
  // Which of the call's requests each row belongs to, [request]; null where there is only one.
  const size_t* which = nullptr;
};
using AttentionObserver = std::function<void(const AttentionView&)>;

// How much of what dense attention would look at one kv head of one layer attends: shares, averaged over the query
// heads of its group and over the steps at which they were taken. A page competes unless it is one of the reserved
// ones.
struct AttentionRecall {
  double mass = 0;          // of softmax over all tokens, on the attended pages
  double mass_chosen = 0;   // of softmax over the tokens of competing pages alone, on those attended
  double index = 0;         // of the k pages with the most softmax mass of the group; k pages are attended
  double index_chosen = 0;  // the same among competing pages alone
  int64_t looks = 0;        // steps
};

// A request whose continuation is given.
struct ForcedRequest {
  Request request;                           // its prompt and prefix; nothing else is read
  std::vector<int32_t> continuation;         // fed after the prompt, one decode step a token; at least one
  std::vector<std::vector<int32_t>> wanted;  // [position]: tokens whose log-probabilities to tell; empty: none
};

struct ForcedOptions {
  int top_tokens = 1;  // how many of the most probable tokens to tell, 1 to kMaxTopTokens
  int look_every = 0;  // take AttentionRecall at every so many-th decode step; 0: never
  // Optional: sees every layer of every step on the CPU; an engine on a device calls nobody, as its keys stay there.
  AttentionObserver observer = {};
};
inline constexpr int kMaxTopTokens = 64;

// What the model under the current policy says at each position of a continuation, before its token is fed.
struct Forced {
  std::vector<float> log_probs;                   // [position]: of the continuation's token
  std::vector<std::vector<float>> wanted;         // [position]: of the tokens asked for
  std::vector<std::vector<int32_t>> top;          // [position]: most probable first, equal ones by token
  std::vector<std::vector<float>> top_log_probs;  // [position]
  std::vector<AttentionRecall> recall;            // [layer][kv head]; no looks in dense layers
};

class Session;
class Stepper;
struct SessionOptions;

// One model on one device with one paged KV pool. Runs requests with continuous batching: dense prefill, then sparse
// decode through the policy (dense without one). Not thread-safe; threads are used inside. The schedule depends on
// nothing but the inputs, so the same inputs and build give the same tokens.
class Engine {
 public:
  virtual ~Engine() = default;

  // Replaces the policy; nullopt is dense attention in every layer. Compiles it. The block size may change.
  virtual Status set_policy(const std::optional<vflow::Policy>& policy) = 0;

  // How many processes, this one among them, keep to an equal part of the device's memory from the next set_policy()
  // on; 1: what is free is this one's. 0 gives the pool up at once: set_policy() only compiles, and nothing runs, until
  // some memory is granted and the policy set again. An engine on the CPU shares nothing.
  virtual void share_memory([[maybe_unused]] int sharers) {}

  // Runs all requests to the end; outputs in request order. When the pool runs dry requests wait with their KV kept.
  virtual Result<std::vector<Output>> generate(const std::vector<Request>& requests, RunStats* stats) = 0;

  // Teacher forcing: feeds `continuation` after the prompt, one decode step a token, through the current policy.
  // Gives log-probabilities [continuation size][vocab] of the next token at each of these positions (before feeding
  // continuation[i]); `observer` may be empty.
  virtual Result<std::vector<float>> teacher_force(const Request& request, std::span<const int32_t> continuation,
                                                   const AttentionObserver& observer, RunStats* stats) = 0;

  // Teacher forcing of many requests at once: as many together as batch and pool hold, so that the weights are read
  // once a step for all of them. Results in request order; each depends on its request alone. On a device nothing but
  // the results leaves it.
  virtual Result<std::vector<Forced>> force_decode(std::span<const ForcedRequest> requests,
                                                   const ForcedOptions& options, RunStats* stats) = 0;

  // Instead of a policy: every layer but the dense ones attends the pages with the largest true attention, as many as
  // `budget` grants (page_shares.h). A ceiling for policies of that budget. An engine that has none refuses.
  virtual bool has_oracle() const { return false; }
  virtual Status set_oracle(const vflow::EngineConfig&) {
    return environment_error("this engine has no oracle", "measure it on the CPU: --device cpu");
  }

  // Dense prefill of a prompt for a request: a keeper's, or one that lies in `folder` under a name derived from model
  // hash, block-independent layout and prompt, or computed now and put there. A damaged file is recomputed. Null where
  // nobody keeps it and the engine computes a prompt sooner than it reads one: the request computes its own.
  virtual Result<PrefixPtr> prefix(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) = 0;
  // For whoever keeps it: never null.
  virtual Result<PrefixPtr> snapshot(const std::vector<int32_t>& prompt, const std::filesystem::path& folder) {
    return prefix(prompt, folder);
  }

  virtual const model::Model& model() const = 0;

  // What the current policy was compiled to, the very kernels that generate() runs; null while attention is dense. It
  // outlives a change of policy, but not the engine's device.
  virtual std::shared_ptr<const compile::Executable> executable() const = 0;

  // A view of this engine that takes steps on made-up requests (stepper.h): lives no longer than the engine, and is of
  // no use any more once any other function of the engine was called.
  virtual std::unique_ptr<Stepper> stepper() = 0;

  // Requests that come and go (session.h), under the current policy; of no use any more once any other function of the
  // engine was called. Null: an engine that has none.
  virtual std::unique_ptr<Session> session(const SessionOptions& options);
};

Result<std::unique_ptr<Engine>> make_cpu_engine(model::Model model, const EngineOptions& options);

}  // namespace vortex::engine
