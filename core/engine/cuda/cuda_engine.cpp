#include "core/engine/cuda/cuda_engine.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/compile/cuda/host_executable.h"
#include "core/engine/cuda/cuda_session.h"
#include "core/engine/cuda/cuda_stepper.h"
#include "core/engine/cuda/forced_run.h"
#include "core/engine/cuda/runner.h"
#include "core/engine/forced.h"
#include "core/engine/kept_model.h"
#include "core/engine/prefix.h"
#include "core/engine/requests.h"
#include "core/engine/schedule.h"

namespace vortex::engine {
namespace {

// Of the tokens that a request which may stop early is allowed, those that admission expects.
constexpr double kExpectedShare = 0.5;

// One call of generate(). Active requests fill the slots from 0 on without gaps. The host knows every length and how
// many pages are free, so it decides before each replay who may grow; which pages they get is the device's business.
class Run {
 public:
  Run(Runner& runner, int steps_per_replay, const std::vector<Request>& requests, RunStats& stats)
      : runner_(runner),
        steps_per_replay_(std::min(steps_per_replay, cuda::kTokenRing - 1)),
        requests_(requests),
        stats_(stats),
        outputs_(requests.size()),
        free_pages_(runner.pool().pages()) {}

  Result<std::vector<Output>> finish() {
    while (next_ < requests_.size() || !active_.empty()) {
      VORTEX_TRY(admit());
      VORTEX_TRY(retire());
      if (active_.empty()) { continue; }
      VORTEX_TRY(decode());
      VORTEX_TRY(retire());
    }
    VORTEX_TRY(runner_.add_counters(stats_));
    return std::move(outputs_);
  }

 private:
  struct Active {
    size_t index = 0;  // into the requests
    int longest = 0;   // pages at its greatest length
    int seen = 0;      // tokens taken from the ring
  };

  SlotArrays& host() { return runner_.slots().host(); }
  int blocks_for(int64_t tokens) const { return runner_.pool().blocks_for(tokens); }
  int held(size_t slot) { return blocks_for(host().lengths[slot]); }

  // Could every active request still end, one after the other, if slot i took grown[i] more pages and `extra` came on
  // top?
  bool safe(const std::vector<int>& grown, std::span<const PageNeed> extra) {
    std::vector<PageNeed> needs;
    for (size_t i = 0; i < active_.size(); ++i) { needs.push_back({held(i), active_[i].longest}); }
    return is_safe_after(std::move(needs), grown, extra, free_pages_);
  }

  // The tokens that a request with `left` to sample at most is expected to add.
  static int64_t expected(const Request& request, int64_t left) {
    return request.ignore_eos ? left : static_cast<int64_t>(kExpectedShare * static_cast<double>(left));
  }

  // Is the pool expected to hold everybody to the end, the next request included?
  bool has_room_for(const Request& next) {
    std::vector<Growth> requests;
    for (size_t i = 0; i < active_.size(); ++i) {
      requests.push_back({host().lengths[i], expected(requests_[active_[i].index], host().remaining[i])});
    }
    const auto prompt = static_cast<int64_t>(next.prompt.size());
    requests.push_back({prompt, expected(next, next.max_new_tokens - 1)});
    if (active_.empty()) { return true; }
    return peak_pages(std::move(requests), runner_.pool().block(), steps_per_replay_) <= runner_.pool().pages();
  }

  Status admit() {
    const Stopwatch watch(stats_.prefill_seconds);
    while (next_ < requests_.size() && static_cast<int>(active_.size()) < runner_.options().max_batch) {
      const Request& request = requests_[next_];
      const auto prompt = static_cast<int64_t>(request.prompt.size());
      // The last token that is sampled is never fed.
      const PageNeed need{blocks_for(prompt), blocks_for(prompt + request.max_new_tokens - 1)};
      if (!has_room_for(request) || !safe(std::vector<int>(active_.size(), 0), {&need, 1})) { return ok_status(); }
      VORTEX_TRY(start(request));
      free_pages_ -= need.held;
      active_.push_back({next_++, need.longest, 0});
      collect(active_.size() - 1);
    }
    return ok_status();
  }

  Status start(const Request& request) {
    const auto slot = static_cast<int>(active_.size());
    runner_.slots().admit(slot, request);
    if (request.prefix != nullptr) { return runner_.restore(slot, *request.prefix); }
    stats_.prefill_tokens += static_cast<int64_t>(request.prompt.size());
    return runner_.prefill(slot, request.prompt);
  }

  // Lets every request that may go on decode for a few steps, or, when pages are short, whoever can for one step.
  // Gives the number of steps.
  int choose_steps() {
    SlotArrays& slots = host();
    int most = 0;
    for (size_t i = 0; i < active_.size(); ++i) { most = std::max(most, slots.remaining[i]); }
    const int steps = std::min(steps_per_replay_, most);
    std::vector<int> grown(active_.size());
    for (size_t i = 0; i < active_.size(); ++i) {
      grown[i] = blocks_for(slots.lengths[i] + std::min(steps, slots.remaining[i])) - held(i);
      slots.new_tokens[i] = 1;
    }
    if (safe(grown, {})) { return steps; }
    std::fill(grown.begin(), grown.end(), 0);
    for (size_t i = 0; i < active_.size(); ++i) {
      grown[i] = blocks_for(slots.lengths[i] + 1) - held(i);
      if (grown[i] == 0 || safe(grown, {})) { continue; }
      grown[i] = 0;
      slots.new_tokens[i] = 0;  // waits, pages kept
    }
    return 1;
  }

  Status decode() {
    const int capacity = runner_.capacity_for(static_cast<int>(active_.size()));
    VORTEX_TRY(runner_.prepare(capacity));
    const double seconds = stats_.decode_seconds;
    const int steps = choose_steps();
    VORTEX_TRY(replay(capacity, steps));
    stats_.step_seconds.push_back((stats_.decode_seconds - seconds) / steps);
    stats_.decode_steps += steps;
    stats_.weight_bytes_read += steps * runner_.model().weight_bytes;
    return ok_status();
  }

  Status replay(int capacity, int steps) {
    const Stopwatch watch(stats_.decode_seconds);
    int before = 0;
    for (size_t i = 0; i < active_.size(); ++i) { before += held(i); }
    VORTEX_TRY(runner_.slots().upload(runner_.stream()));
    VORTEX_TRY(runner_.meet());  // one rank tells the tokens, and whoever is told takes the time they want
    for (int i = 0; i < steps; ++i) { VORTEX_TRY(runner_.replay(capacity)); }
    VORTEX_TRY(runner_.fetch());
    for (size_t i = 0; i < active_.size(); ++i) {
      free_pages_ -= held(i);
      stats_.decode_tokens += host().produced[i] - active_[i].seen;
      collect(i);
    }
    free_pages_ += before;
    return ok_status();
  }

  // Takes the tokens that a slot has produced since the last look.
  void collect(size_t slot) {
    Active& active = active_[slot];
    Output& output = outputs_[active.index];
    const Request& request = requests_[active.index];
    output.stopped = host().stopped[slot] != 0;
    const bool ended = output.stopped || host().remaining[slot] <= 0;
    while (active.seen < host().produced[slot]) {
      output.tokens.push_back(
          host().ring[slot * cuda::kTokenRing + static_cast<size_t>(active.seen % cuda::kTokenRing)]);
      ++active.seen;
      if (request.on_token) { request.on_token(output.tokens.back(), ended && active.seen == host().produced[slot]); }
    }
  }

  // Gives back what ended requests hold, and closes the gaps they leave.
  Status retire() {
    std::vector<bool> ended(active_.size(), false);
    for (size_t i = 0; i < active_.size(); ++i) {
      if (host().remaining[i] > 0 && host().stopped[i] == 0) { continue; }
      host().finished[i] = 1;
      free_pages_ += held(i);
      ended[i] = true;
    }
    const auto left = static_cast<size_t>(std::count(ended.begin(), ended.end(), false));
    if (left == active_.size()) { return ok_status(); }
    VORTEX_TRY(runner_.release_finished());
    const auto moves = moves_into_gaps(ended);
    for (const auto& [from, to] : moves) { active_[static_cast<size_t>(to)] = active_[static_cast<size_t>(from)]; }
    active_.resize(left);
    return runner_.move(moves);
  }

  Runner& runner_;
  int steps_per_replay_;
  const std::vector<Request>& requests_;
  RunStats& stats_;
  std::vector<Output> outputs_;
  std::vector<Active> active_;  // [slot]
  size_t next_ = 0;
  int free_pages_;
};

// What an observer sees of one layer, in host memory.
struct HostView {
  std::vector<float> q;
  std::vector<cpu::Bf16> k;  // [block][kv head][token][head_dim]
  std::vector<cpu::Bf16> v;
  std::vector<int32_t> block_table;
  compile::LayerCache cache;
  compile::Selection selection;
};

// From [kv head][token][head_dim] to blocks.
std::vector<cpu::Bf16> to_blocks(const cpu::Bf16* from, int heads, int tokens, int dim, int block) {
  const int blocks = (tokens + block - 1) / block;
  std::vector<cpu::Bf16> to(static_cast<size_t>(blocks) * static_cast<size_t>(heads * block * dim), 0);
  for (int head = 0; head < heads; ++head) {
    for (int token = 0; token < tokens; ++token) {
      const int64_t row = (int64_t{token / block} * heads + head) * block + token % block;
      std::copy_n(from + (int64_t{head} * tokens + token) * dim, dim, to.begin() + row * dim);
    }
  }
  return to;
}

class CudaEngine final : public Engine {
 public:
  CudaEngine(std::unique_ptr<Runner> runner, const CudaOptions& cuda)
      : runner_(std::move(runner)), cuda_(cuda), steps_per_replay_(std::max(1, cuda.steps_per_replay)) {}

  Status set_policy(const std::optional<vflow::Policy>& policy) override { return runner_->set_policy(policy); }
  void share_memory(int sharers) override { runner_->share_memory(sharers); }

  Result<std::vector<Output>> generate(const std::vector<Request>& requests, RunStats* stats) override {
    for (const Request& request : requests) {
      VORTEX_TRY(check_request(model(), runner_->options(), request, request.max_new_tokens));
    }
    VORTEX_TRY(runner_->reset());
    RunStats counted = fresh_stats(model().config.num_layers);
    VORTEX_ASSIGN(std::vector<Output> outputs, Run(*runner_, steps_per_replay_, requests, counted).finish());
    if (stats != nullptr) { *stats = std::move(counted); }
    return outputs;
  }

  Result<std::vector<float>> teacher_force(const Request& request, std::span<const int32_t> continuation,
                                           const AttentionObserver& observer, RunStats* stats) override {
    VORTEX_TRY(check_request(model(), runner_->options(), request, static_cast<int64_t>(continuation.size())));
    VORTEX_TRY(check_tokens(model(), continuation));
    VORTEX_TRY(runner_->reset());
    RunStats counted = fresh_stats(model().config.num_layers);
    const auto vocab = static_cast<size_t>(model().config.vocab_size);
    std::vector<float> log_probs(continuation.size() * vocab);
    std::vector<float> logits(vocab);
    const auto read = [&](size_t position) -> Status {
      VORTEX_TRY(runner_->read_logits(0, logits.data()));
      log_softmax(logits.data(), static_cast<int>(vocab), &log_probs[position * vocab]);
      return ok_status();
    };
    if (observer) { VORTEX_TRY(runner_->reserve_kv(static_cast<int>(request.prompt.size() + continuation.size()))); }
    {
      const Stopwatch watch(counted.prefill_seconds);
      if (request.prefix == nullptr) { counted.prefill_tokens += static_cast<int64_t>(request.prompt.size()); }
      VORTEX_TRY(runner_->start_forced(0, request.prompt, request.prefix.get()));
      VORTEX_TRY(read(0));
    }
    if (!observer) { VORTEX_TRY(runner_->prepare(1)); }
    for (size_t i = 0; i + 1 < continuation.size(); ++i) {
      const Stopwatch watch(counted.decode_seconds);
      VORTEX_TRY(feed(continuation[i], observer));
      VORTEX_TRY(read(i + 1));
      ++counted.decode_steps;
      ++counted.decode_tokens;
      counted.weight_bytes_read += runner_->model().weight_bytes;
    }
    VORTEX_TRY(runner_->add_counters(counted));
    if (stats != nullptr) { *stats = std::move(counted); }
    return log_probs;
  }

  Result<std::vector<Forced>> force_decode(std::span<const ForcedRequest> requests, const ForcedOptions& options,
                                           RunStats* stats) override {
    VORTEX_TRY(check_forced(model(), runner_->options(), requests, options));
    RunStats counted = fresh_stats(model().config.num_layers);
    VORTEX_ASSIGN(std::vector<Forced> forced, force_on_device(*runner_, requests, options, counted));
    if (stats != nullptr) { *stats = std::move(counted); }
    return forced;
  }

  // No files: writing a snapshot took 150 to 480 ms where computing the prompt takes ten
  // (docs/benchmarks/gpu-search.md).
  Result<PrefixPtr> prefix(const std::vector<int32_t>& prompt, const std::filesystem::path&) override {
    return find_kept_prefix(runner_->options().kept.get(), true, model(), prompt);
  }

  Result<PrefixPtr> snapshot(const std::vector<int32_t>& prompt, const std::filesystem::path&) override {
    Request request;
    request.prompt = prompt;
    VORTEX_TRY(check_request(model(), runner_->options(), request, 1));
    if (PrefixPtr kept = find_kept_prefix(runner_->options().kept.get(), true, model(), prompt)) { return kept; }
    VORTEX_ASSIGN(Prefix computed, runner_->snapshot(prompt));
    return PrefixPtr(std::make_shared<const Prefix>(std::move(computed)));
  }

  const model::Model& model() const override { return runner_->model().source; }
  std::unique_ptr<Stepper> stepper() override { return make_cuda_stepper(*runner_, cuda_); }
  std::unique_ptr<Session> session(const SessionOptions& options) override {
    served_ = fresh_stats(model().config.num_layers);
    return std::make_unique<CudaSession>(*runner_, options, served_);
  }

  std::shared_ptr<const compile::Executable> executable() const override {
    const DevicePolicy& policy = runner_->policy();
    return policy.executable == nullptr ? nullptr : compile::over_host_memory(policy.policy, policy.executable);
  }

 private:
  // One step of the request in slot 0 with a token that was not sampled.
  Status feed(int32_t token, const AttentionObserver& observer) {
    SlotArrays& slots = runner_->slots().host();
    slots.next_tokens[0] = token;
    slots.new_tokens[0] = 1;
    slots.remaining[0] = std::numeric_limits<int32_t>::max() / 2;
    slots.ignores_stops[0] = 1;
    const int length = slots.lengths[0] + 1;
    VORTEX_TRY(runner_->slots().upload(runner_->stream()));
    if (observer) {
      VORTEX_TRY(runner_->step_eagerly(1, [&](int layer) { return observe(layer, length, observer); }));
    } else {
      VORTEX_TRY(runner_->replay(1));
    }
    return runner_->fetch();
  }

  Status observe(int layer, int length, const AttentionObserver& observer) {
    const model::ModelConfig& c = model().config;
    const int block = runner_->pool().block();
    HostView host;
    VORTEX_TRY(runner_->read_queries(1, host.q));
    std::vector<cpu::Bf16> image;
    VORTEX_TRY(runner_->read_kv(layer, 0, length, image));
    host.k = to_blocks(image.data(), c.num_kv_heads, length, c.head_dim, block);
    host.cache.k = {host.k.data(), vflow::Dtype::kBf16, c.num_kv_heads, block, c.head_dim};
    host.cache.v = {nullptr, vflow::Dtype::kBf16, c.num_kv_heads, 0, 0};
    if (!c.latent) {
      host.v = to_blocks(image.data() + image.size() / 2, c.num_kv_heads, length, c.head_dim, block);
      host.cache.v = {host.v.data(), vflow::Dtype::kBf16, c.num_kv_heads, block, c.head_dim};
    }
    const int blocks = runner_->pool().blocks_for(length);
    for (int i = 0; i < blocks; ++i) { host.block_table.push_back(i); }
    const bool sparse = runner_->policy().sparse(layer);
    if (sparse) {
      host.selection.stride = runner_->policy().max_selected;
      VORTEX_TRY(runner_->read_selection(layer, 1, host.selection.blocks, host.selection.counts));
    }
    observer({layer, 1, host.q.data(), &host.cache, host.block_table.data(), blocks, &length,
              sparse ? &host.selection : nullptr, c.num_q_heads / c.num_kv_heads});
    return ok_status();
  }

  std::unique_ptr<Runner> runner_;
  CudaOptions cuda_;
  int steps_per_replay_;
  RunStats served_;  // by the newest session
};

}  // namespace

Result<std::unique_ptr<Engine>> make_cuda_engine(model::Model model, const EngineOptions& options,
                                                 const CudaOptions& cuda) {
  VORTEX_ASSIGN(std::unique_ptr<Runner> runner, Runner::make(std::move(model), options, cuda));
  return std::unique_ptr<Engine>(std::make_unique<CudaEngine>(std::move(runner), cuda));
}

}  // namespace vortex::engine
