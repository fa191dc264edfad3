// A trace of requests as an AIME24 evaluation makes them: short prompts, long answers of very different lengths.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/rng.h"
#include "core/engine/bench/bench.h"
#include "core/engine/schedule.h"

namespace vortex::bench {
namespace {

// Lengths of the answers: log-normal with the given mean before they are cut.
std::vector<int> output_lengths(const Options& options) {
  Rng rng(stream_key(options.seed));
  const double mu = std::log(options.mean_output) - options.sigma * options.sigma / 2;
  const int count = std::max(1, static_cast<int>(std::lround(options.requests * options.scale)));
  std::vector<int> lengths;
  for (int i = 0; i < count; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - rng.uniform()));
    const double normal = radius * std::cos(2 * std::numbers::pi * rng.uniform());
    const double length = std::exp(mu + options.sigma * normal);
    lengths.push_back(std::clamp(static_cast<int>(length), 2, options.longest_output));
  }
  return lengths;
}

// The engine's schedule (admission in order while everybody can still end; requests wait when pages are short), played
// without decoding anything: lengths are known, so who decodes when does not depend on time.
class Schedule {
 public:
  Schedule(const Options& options, std::vector<int> outputs, int block, int64_t pages)
      : options_(options), outputs_(std::move(outputs)), block_(block), free_(static_cast<int>(pages)) {}

  bool done() const { return next_ == outputs_.size() && active_.empty(); }

  // Advances one step; gives the lengths (the new token included) of the requests that decode in it.
  std::vector<int> step() {
    admit();
    std::vector<int> decoding;
    for (Active& active : active_) {
      const int grown = blocks_for(active.length + 1) - blocks_for(active.length);
      if (grown > 0 && !safe(&active, nullptr)) continue;
      free_ -= grown;
      ++active.length;
      --active.left;
      decoding.push_back(active.length);
    }
    for (const Active& active : active_) {
      if (active.left == 0) free_ += blocks_for(active.length);
    }
    std::erase_if(active_, [](const Active& active) { return active.left == 0; });
    return decoding;
  }

 private:
  struct Active {
    int length;
    int left;
    int longest;
  };

  int blocks_for(int tokens) const { return (tokens + block_ - 1) / block_; }

  bool safe(const Active* growing, const engine::PageNeed* extra) const {
    int free = free_ - (growing != nullptr ? 1 : 0) - (extra != nullptr ? extra->held : 0);
    if (free < 0) return false;
    std::vector<engine::PageNeed> needs;
    int worst = 0;
    for (const Active& active : active_) {
      needs.push_back({blocks_for(active.length) + (&active == growing ? 1 : 0), active.longest});
      worst += needs.back().longest - needs.back().held;
    }
    if (extra != nullptr) {
      needs.push_back(*extra);
      worst += extra->longest - extra->held;
    }
    return worst <= free || engine::is_safe(std::move(needs), free);
  }

  void admit() {
    while (next_ < outputs_.size() && static_cast<int>(active_.size()) < options_.max_batch) {
      // The first token comes with the prompt; the last one is never fed.
      const int longest = options_.prompt + outputs_[next_] - 1;
      const engine::PageNeed need{blocks_for(options_.prompt), blocks_for(longest)};
      if (!safe(nullptr, &need)) return;
      free_ -= need.held;
      active_.push_back({options_.prompt, outputs_[next_] - 1, need.longest});
      ++next_;
    }
  }

  const Options& options_;
  std::vector<int> outputs_;
  int block_;
  int free_;
  size_t next_ = 0;
  std::vector<Active> active_;
};

struct Totals {
  int64_t steps = 0;
  int64_t tokens = 0;  // the first one of each request included
  double bytes = 0;
  double batch = 0;  // mean
};

// Plays the schedule once for the totals; and again for the lengths at the middle of each window.
Totals play(const Options& options, const model::ModelConfig& model, const vflow::Policy* policy, vflow::Dtype kv,
            Schedule schedule, int64_t window, std::vector<std::vector<int>>* snapshots) {
  Totals totals;
  for (; !schedule.done(); ++totals.steps) {
    std::vector<int> lengths = schedule.step();
    totals.tokens += static_cast<int64_t>(lengths.size());
    totals.batch += static_cast<double>(lengths.size());
    if (snapshots == nullptr) continue;
    totals.bytes += static_cast<double>(engine::step_bytes(model, policy, kv, lengths).total());
    if (totals.steps % window == window / 2) snapshots->push_back(std::move(lengths));
  }
  totals.tokens += std::max(1, static_cast<int>(std::lround(options.requests * options.scale)));
  totals.batch /= static_cast<double>(std::max<int64_t>(1, totals.steps));
  return totals;
}

Status run_windows(const Options& options, const model::ModelConfig& model,
                   const std::optional<vflow::Policy>& policy) {
  VORTEX_ASSIGN(const vflow::Dtype kv, kv_dtype_of(options));
  VORTEX_ASSIGN(const auto stepper, make_stepper(options, model));
  VORTEX_TRY(stepper->set_policy(policy));
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  const vflow::Policy* set = policy ? &*policy : nullptr;
  const std::vector<int> outputs = output_lengths(options);
  const Schedule schedule(options, outputs, stepper->block_size(), stepper->pages());
  const Totals planned = play(options, model, set, kv, schedule, 1, nullptr);
  const int64_t window = std::max<int64_t>(1, (planned.steps + options.windows - 1) / options.windows);
  std::vector<std::vector<int>> snapshots;
  const Totals totals = play(options, model, set, kv, schedule, window, &snapshots);

  Report report(options.format, stepper->device() + "; " + options.geometry + ", random weights", copy);
  std::vector<double> seconds;
  double decode = 0;
  double worst_spread = 0;
  for (size_t i = 0; i < snapshots.size(); ++i) {
    for (int& length : snapshots[i]) length = std::max(1, length - options.steps);
    VORTEX_TRY(stepper->place(snapshots[i]));
    VORTEX_TRY(stepper->run(std::max(1, options.steps / 4)));
    std::vector<double> samples;
    for (int s = 0; s < 3; ++s) {
      VORTEX_ASSIGN(const double of_sample, stepper->run(std::max(1, options.steps / 2)));
      samples.push_back(of_sample / std::max(1, options.steps / 2));
    }
    const double median = quantile(samples, 0.5);
    worst_spread = std::max(worst_spread, (quantile(samples, 1) - quantile(samples, 0)) / median);
    const int64_t first = static_cast<int64_t>(i) * window;
    decode += median * static_cast<double>(std::min(window, totals.steps - first));
    seconds.push_back(median);
  }
  VORTEX_TRY(stepper->place({}));
  VORTEX_TRY(stepper->admit(options.prompt));
  VORTEX_TRY(stepper->retire(0));
  VORTEX_ASSIGN(const double prefill, stepper->admit(options.prompt));
  const double total = decode + prefill * static_cast<double>(outputs.size());

  Record record;
  record.what = "trace";
  record.shape = std::to_string(outputs.size()) + " requests";
  record.policy = policy_name(options, policy);
  record.seconds = total;
  record.fastest = total * (1 - worst_spread);
  record.slowest = total * (1 + worst_spread);
  record.bytes = totals.bytes;
  record.tokens_per_second = static_cast<double>(totals.tokens) / total;
  report.add(record);
  report.add_value("tokens", static_cast<double>(totals.tokens), "");
  report.add_value("decode steps", static_cast<double>(totals.steps), "");
  report.add_value("mean batch", totals.batch, "requests");
  report.add_value("windows measured", static_cast<double>(snapshots.size()), "");
  report.add_value("fastest step of a window", quantile(seconds, 0) * 1e3, "ms");
  report.add_value("slowest step of a window", quantile(seconds, 1) * 1e3, "ms");
  report.add_value("prefill of a prompt", prefill * 1e3, "ms");
  report.finish();
  return ok_status();
}

Status run_all(const Options& options, const model::ModelConfig& model, const std::optional<vflow::Policy>& policy) {
  VORTEX_ASSIGN(const auto engine, make_engine(options, model));
  VORTEX_TRY(engine->set_policy(policy));
  std::vector<engine::Request> requests;
  Rng rng(stream_key(options.seed, 1));
  for (const int output : output_lengths(options)) {
    engine::Request request;
    for (int i = 0; i < options.prompt; ++i) request.prompt.push_back(rng.between(0, model.vocab_size - 1));
    request.max_new_tokens = output;
    request.ignore_eos = true;
    request.seed = requests.size();
    request.sampling.temperature = 0.6;
    requests.push_back(std::move(request));
  }
  engine::RunStats stats;
  const auto outputs = engine->generate(requests, &stats);
  if (!outputs.ok()) return outputs.error();
  Record record;
  record.what = "trace";
  record.shape = std::to_string(requests.size()) + " requests";
  record.policy = policy_name(options, policy);
  record.seconds = record.fastest = record.slowest = stats.prefill_seconds + stats.decode_seconds;
  record.bytes = static_cast<double>(stats.kv_bytes_read + stats.weight_bytes_read);
  record.tokens_per_second = static_cast<double>(stats.decode_tokens) / record.seconds;
  VORTEX_ASSIGN(const auto stepper, make_stepper(Options{options}, model));
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  Report report(options.format, stepper->device() + "; " + options.geometry + ", random weights", copy);
  report.add(record);
  report.add_value("tokens", static_cast<double>(stats.decode_tokens), "");
  report.add_value("decode steps", static_cast<double>(stats.decode_steps), "");
  report.add_value("prefill", stats.prefill_seconds, "s");
  report.add_value("decode", stats.decode_seconds, "s");
  report.finish();
  return ok_status();
}

}  // namespace

Status bench_trace(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  if (options.prompt + options.longest_output > options.max_context) {
    return candidate_error("a prompt of " + std::to_string(options.prompt) + " and an answer of " +
                           std::to_string(options.longest_output) + " tokens exceed the context of " +
                           std::to_string(options.max_context));
  }
  return options.windows > 0 ? run_windows(options, model, policy) : run_all(options, model, policy);
}

}  // namespace vortex::bench
