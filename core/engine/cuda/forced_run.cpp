#include "core/engine/cuda/forced_run.h"

#include <algorithm>
#include <limits>

#include "core/engine/forced.h"
#include "core/engine/requests.h"
#include "kernels/cuda/log_probs.h"
#include "kernels/cuda/recall.h"

namespace vortex::engine {
namespace {

// What the device tells of the positions of one step: arrays of `slots` rows on the device, and their copies here.
class Telling {
 public:
  Status create(int slots, size_t num_tokens, int num_top) {
    num_tokens_ = num_tokens;
    num_top_ = static_cast<size_t>(num_top);
    const size_t rows = static_cast<size_t>(slots);
    tokens_bytes_ = rows * num_tokens_ * sizeof(int32_t);
    told_bytes_ = rows * (num_tokens_ * sizeof(float) + num_top_ * (sizeof(int32_t) + sizeof(float)));
    top_at_ = rows * num_tokens_;
    top_out_at_ = top_at_ + rows * num_top_;
    VORTEX_TRY(device_.allocate(tokens_bytes_ + told_bytes_));
    return host_.allocate(tokens_bytes_ + told_bytes_);
  }

  // The tokens of a row to be told of; its unused places are -1.
  void ask(size_t row, int32_t token, std::span<const int32_t> wanted) {
    int32_t* to = host_.as<int32_t>() + row * num_tokens_;
    std::fill_n(to, num_tokens_, -1);
    to[0] = token;
    std::copy(wanted.begin(), wanted.end(), to + 1);
  }

  // Enqueues reading the first `rows` rows of logits; `args` has them.
  Status enqueue(cuda::LogProbs args, int rows, cudaStream_t stream) {
    const char* what = "reading log-probabilities";
    VORTEX_TRY(cuda_status(cudaMemcpyAsync(device_.data(), host_.data(), tokens_bytes_, cudaMemcpyHostToDevice, stream),
                           what));
    char* told = device_.as<char>() + tokens_bytes_;
    args.num_rows = rows;
    args.tokens = device_.as<std::int32_t>();
    args.num_tokens = static_cast<int>(num_tokens_);
    args.out = reinterpret_cast<float*>(told);
    args.num_top = static_cast<int>(num_top_);
    args.top = reinterpret_cast<std::int32_t*>(told) + top_at_;
    args.top_out = reinterpret_cast<float*>(told) + top_out_at_;
    VORTEX_TRY(cuda_status(cuda::log_probs(args, stream), what));
    return cuda_status(
        cudaMemcpyAsync(host_.as<char>() + tokens_bytes_, told, told_bytes_, cudaMemcpyDeviceToHost, stream), what);
  }

  // Takes a row once the stream has been waited for.
  void take(size_t row, size_t position, size_t wanted, Forced& out) const {
    const char* told = host_.as<char>() + tokens_bytes_;
    const float* log_probs = reinterpret_cast<const float*>(told) + row * num_tokens_;
    const int32_t* top = reinterpret_cast<const int32_t*>(told) + top_at_ + row * num_top_;
    const float* top_log_probs = reinterpret_cast<const float*>(told) + top_out_at_ + row * num_top_;
    out.log_probs[position] = log_probs[0];
    out.wanted[position].assign(log_probs + 1, log_probs + 1 + wanted);
    out.top[position].assign(top, top + num_top_);
    out.top_log_probs[position].assign(top_log_probs, top_log_probs + num_top_);
  }

 private:
  DeviceMemory device_;  // [slot][num_tokens] asked for; log-probabilities; [slot][num_top] tokens; log-probabilities
  PinnedMemory host_;    // the same
  size_t num_tokens_ = 1;
  size_t num_top_ = 1;
  size_t tokens_bytes_ = 0;
  size_t told_bytes_ = 0;
  size_t top_at_ = 0;      // elements from the first log-probability
  size_t top_out_at_ = 0;  // elements
};

// Requests that are decoded together from first to last token, request i in slot i.
class ForcedRun {
 public:
  ForcedRun(Runner& runner, std::span<const ForcedRequest> requests, const ForcedOptions& options, RunStats& stats)
      : runner_(runner), requests_(requests), options_(options), stats_(stats) {}

  Result<std::vector<Forced>> finish() {
    VORTEX_TRY(runner_.reset());
    VORTEX_TRY(reserve());
    for (size_t i = 0; i < requests_.size(); ++i) { VORTEX_TRY(start(i)); }
    const int capacity = runner_.capacity_for(static_cast<int>(requests_.size()));
    size_t longest = 0;
    for (const ForcedRequest& request : requests_) { longest = std::max(longest, request.continuation.size()); }
    if (longest > 1) { VORTEX_TRY(runner_.prepare(capacity)); }
    for (size_t position = 0; position + 1 < longest; ++position) { VORTEX_TRY(step(position, capacity)); }
    VORTEX_TRY(read_looks());
    VORTEX_TRY(runner_.add_counters(stats_));
    return std::move(results_);
  }

 private:
  const model::ModelConfig& config() const { return runner_.model().source.config; }
  bool looks() const { return options_.look_every > 0 && runner_.policy().executable != nullptr; }
  size_t rows() const { return static_cast<size_t>(runner_.options().max_batch * config().num_kv_heads); }

  std::span<const int32_t> wanted(size_t request, size_t position) const {
    const std::vector<std::vector<int32_t>>& all = requests_[request].wanted;
    return all.empty() ? std::span<const int32_t>() : std::span<const int32_t>(all[position]);
  }

  Status reserve() {
    size_t most = 0;
    for (size_t i = 0; i < requests_.size(); ++i) {
      for (size_t at = 0; at < requests_[i].continuation.size(); ++at) { most = std::max(most, wanted(i, at).size()); }
      results_.push_back(fresh_forced(requests_[i], config()));
    }
    VORTEX_TRY(
        telling_.create(runner_.options().max_batch, 1 + most, std::min(options_.top_tokens, config().vocab_size)));
    if (!looks()) { return ok_status(); }
    const size_t group = static_cast<size_t>(config().num_q_heads / config().num_kv_heads);
    const auto blocks = static_cast<size_t>(runner_.max_blocks());
    VORTEX_TRY(weights_.allocate(rows() * group * blocks * sizeof(float2)));
    VORTEX_TRY(sums_.allocate(static_cast<size_t>(config().num_layers) * rows() * sizeof(cuda::RecallSums)));
    return cuda_status(cudaMemsetAsync(sums_.data(), 0, sums_.bytes(), runner_.stream()), "clearing recall");
  }

  Status start(size_t i) {
    const Stopwatch watch(stats_.prefill_seconds);
    const Request& request = requests_[i].request;
    if (request.prefix == nullptr) { stats_.prefill_tokens += static_cast<int64_t>(request.prompt.size()); }
    VORTEX_TRY(runner_.start_forced(static_cast<int>(i), request.prompt, request.prefix.get()));
    telling_.ask(0, requests_[i].continuation[0], wanted(i, 0));
    VORTEX_TRY(telling_.enqueue(runner_.logit_rows(nullptr), 1, runner_.stream()));
    VORTEX_TRY(runner_.synchronize());
    telling_.take(0, 0, wanted(i, 0).size(), results_[i]);
    return ok_status();
  }

  // Feeds every request's token at `position` and reads what is said of the next one.
  Status step(size_t position, int capacity) {
    const Stopwatch watch(stats_.decode_seconds);
    SlotArrays& slots = runner_.slots().host();
    int64_t fed = 0;
    for (size_t i = 0; i < requests_.size(); ++i) {
      const bool goes_on = position + 1 < requests_[i].continuation.size();
      slots.new_tokens[i] = goes_on ? 1 : 0;
      if (!goes_on) { continue; }
      slots.next_tokens[i] = requests_[i].continuation[position];
      slots.remaining[i] = std::numeric_limits<int32_t>::max() / 2;
      slots.ignores_stops[i] = 1;
      telling_.ask(i, requests_[i].continuation[position + 1], wanted(i, position + 1));
      ++fed;
    }
    VORTEX_TRY(runner_.slots().upload(runner_.stream()));
    if (looks() && position % static_cast<size_t>(options_.look_every) == 0) {
      VORTEX_TRY(runner_.step_eagerly(capacity, [&](int layer) { return look(layer, capacity); }));
    } else {
      VORTEX_TRY(runner_.replay(capacity));
    }
    VORTEX_TRY(
        telling_.enqueue(runner_.logit_rows(runner_.granted()), static_cast<int>(requests_.size()), runner_.stream()));
    VORTEX_TRY(runner_.fetch());
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (position + 1 >= requests_[i].continuation.size()) { continue; }
      telling_.take(i, position + 1, wanted(i, position + 1).size(), results_[i]);
    }
    ++stats_.decode_steps;
    stats_.decode_tokens += fed;
    stats_.weight_bytes_read += runner_.model().weight_bytes;
    return ok_status();
  }

  Status look(int layer, int capacity) {
    if (!runner_.policy().sparse(layer)) { return ok_status(); }
    cuda::MeasureRecall args = runner_.attended(layer, capacity);
    args.workspace = weights_.as<float2>();
    args.sums = sums_.as<cuda::RecallSums>() + static_cast<size_t>(layer) * rows();
    return cuda_status(cuda::measure_recall(args, runner_.stream()), "measuring recall");
  }

  Status read_looks() {
    if (!looks()) { return ok_status(); }
    std::vector<cuda::RecallSums> sums(static_cast<size_t>(config().num_layers) * rows());
    VORTEX_TRY(runner_.synchronize());
    VORTEX_TRY(
        cuda_status(cudaMemcpy(sums.data(), sums_.data(), sums_.bytes(), cudaMemcpyDeviceToHost), "reading recall"));
    const auto heads = static_cast<size_t>(config().num_kv_heads);
    for (size_t i = 0; i < results_.size(); ++i) {
      for (size_t at = 0; at < results_[i].recall.size(); ++at) {
        const cuda::RecallSums& sum = sums[at / heads * rows() + i * heads + at % heads];
        if (sum.looks == 0) { continue; }
        results_[i].recall[at] = {sum.mass / sum.looks, sum.mass_chosen / sum.looks, sum.best / sum.looks,
                                  sum.best_chosen / sum.looks, static_cast<int64_t>(sum.looks)};
      }
    }
    return ok_status();
  }

  Runner& runner_;
  std::span<const ForcedRequest> requests_;
  const ForcedOptions& options_;
  RunStats& stats_;
  Telling telling_;
  DeviceMemory weights_;  // [row][q head of the group][block]
  DeviceMemory sums_;     // [layer][row]
  std::vector<Forced> results_;
};

}  // namespace

Result<std::vector<Forced>> force_on_device(Runner& runner, std::span<const ForcedRequest> requests,
                                            const ForcedOptions& options, RunStats& stats) {
  std::vector<Forced> results;
  while (results.size() < requests.size()) {
    const std::span<const ForcedRequest> rest = requests.subspan(results.size());
    const size_t count =
        forced_together(rest, runner.options().max_batch, runner.pool().pages(), runner.pool().block());
    VORTEX_ASSIGN(std::vector<Forced> done, ForcedRun(runner, rest.first(count), options, stats).finish());
    for (Forced& forced : done) { results.push_back(std::move(forced)); }
  }
  return results;
}

}  // namespace vortex::engine
