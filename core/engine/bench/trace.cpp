// A trace of requests as an AIME24 evaluation makes them: short prompts, long answers of very different lengths.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "core/engine/bench/bench.h"
#include "core/engine/bench/trace_plan.h"

namespace vortex::bench {
namespace {

constexpr int kStepsPerRound = 8;  // as CudaOptions::steps_per_replay
constexpr int kWarmUpSteps = 2;
constexpr int kWindowSamples = 5;

// Seconds of one step with requests of these lengths: the median of a few samples, and their spread.
struct WindowTime {
  double median = 0;
  double fastest = 0;
  double slowest = 0;
};

Result<WindowTime> time_window(engine::Stepper& stepper, std::vector<int> lengths, int steps) {
  const int grown = kWarmUpSteps + kWindowSamples * steps;
  for (int& length : lengths) length = std::max(1, length - grown / 2);
  VORTEX_TRY(stepper.place(lengths));
  VORTEX_TRY(stepper.run(kWarmUpSteps));
  std::vector<double> samples;
  for (int s = 0; s < kWindowSamples; ++s) {
    VORTEX_ASSIGN(const double of_sample, stepper.run(steps));
    samples.push_back(of_sample / steps);
  }
  return WindowTime{quantile(samples, 0.5), quantile(samples, 0), quantile(samples, 1)};
}

double plan_bytes(const TracePlan& plan, const model::ModelConfig& model, const vflow::Policy* policy,
                  vflow::Dtype kv) {
  double bytes = 0;
  for (const Round& round : plan.rounds) {
    std::vector<int> middle = round.lengths;
    for (int& length : middle) length += (round.steps + 1) / 2;
    bytes += static_cast<double>(engine::step_bytes(model, policy, kv, middle).total()) * round.steps;
  }
  return bytes;
}

// The round in which step `step` is taken.
const Round& round_at(const TracePlan& plan, int64_t step) {
  const auto after = std::upper_bound(plan.rounds.begin(), plan.rounds.end(), step,
                                      [](int64_t at, const Round& round) { return at < round.first_step; });
  return *(after - 1);
}

void report_plan(Report& report, const TracePlan& plan, int64_t pages) {
  report.add_value("tokens", static_cast<double>(plan.tokens), "");
  report.add_value("decode steps", static_cast<double>(plan.steps), "");
  report.add_value("mean batch", plan.mean_batch, "requests");
  report.add_value("pages of the pool", static_cast<double>(pages), "");
  report.add_value("most of them held", static_cast<double>(plan.most_pages), "");
}

// The trace's time from the schedule and step times measured in the middle of equal stretches of it, on K and V that
// are random: nothing else is decoded.
Status run_windows(const Options& options, const model::ModelConfig& model,
                   const std::optional<vflow::Policy>& policy) {
  VORTEX_ASSIGN(const vflow::Dtype kv, kv_dtype_of(options));
  VORTEX_ASSIGN(const auto stepper, make_stepper(options, model));
  VORTEX_TRY(stepper->set_policy(policy));
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  Report report(options, stepper->device(), copy);
  const std::vector<int> outputs = output_lengths(options);
  const TracePlan plan =
      plan_trace(outputs, options.prompt, options.max_batch, kStepsPerRound, stepper->block_size(), stepper->pages());
  if (plan.steps == 0) return candidate_error("every answer of the trace is a single token");

  const int64_t windows = std::min<int64_t>(options.windows, plan.steps);
  std::vector<double> medians;
  WindowTime decode;  // of the whole trace
  for (int64_t i = 0; i < windows; ++i) {
    const int64_t first = plan.steps * i / windows;
    const int64_t end = plan.steps * (i + 1) / windows;
    const Round& round = round_at(plan, (first + end) / 2);
    VORTEX_ASSIGN(const WindowTime time, time_window(*stepper, round.lengths, std::max(1, options.steps / 2)));
    const auto steps = static_cast<double>(end - first);
    decode.median += time.median * steps;
    decode.fastest += time.fastest * steps;
    decode.slowest += time.slowest * steps;
    medians.push_back(time.median);
  }
  VORTEX_TRY(stepper->place({}));
  VORTEX_TRY(stepper->admit(options.prompt));
  VORTEX_TRY(stepper->retire(0));
  VORTEX_ASSIGN(const double of_prompt, stepper->admit(options.prompt));
  const double prefill = of_prompt * static_cast<double>(outputs.size());

  Record record;
  record.what = "trace, est.";
  record.shape = std::to_string(outputs.size()) + " requests";
  record.policy = policy_name(options, policy);
  record.seconds = decode.median + prefill;
  record.fastest = decode.fastest + prefill;
  record.slowest = decode.slowest + prefill;
  record.bytes = plan_bytes(plan, model, policy ? &*policy : nullptr, kv);
  record.tokens_per_second = static_cast<double>(plan.tokens) / record.seconds;
  report.add(record);
  report_plan(report, plan, stepper->pages());
  report.add_value("windows measured, K and V random", static_cast<double>(windows), "");
  report.add_value("fastest step of a window", quantile(medians, 0) * 1e3, "ms");
  report.add_value("slowest step of a window", quantile(medians, 1) * 1e3, "ms");
  report.add_value("prefill of a prompt", of_prompt * 1e3, "ms");
  return report.finish();
}

std::vector<engine::Request> make_requests(const Options& options, int vocab) {
  std::vector<engine::Request> requests;
  Rng rng(stream_key(options.seed, 1));
  for (const int output : output_lengths(options)) {
    engine::Request request;
    for (int i = 0; i < options.prompt; ++i) request.prompt.push_back(rng.between(0, vocab - 1));
    request.max_new_tokens = output;
    request.ignore_eos = true;
    request.seed = requests.size();
    requests.push_back(std::move(request));
  }
  return requests;
}

// What the report's head says, from a stepper that is gone before the engine takes the memory.
Result<Report> open_report(const Options& options, const model::ModelConfig& model) {
  Options small = options;
  small.max_batch = 1;
  VORTEX_ASSIGN(const auto stepper, make_stepper(small, model));
  VORTEX_ASSIGN(const double copy, stepper->copy_bandwidth());
  return Report(options, stepper->device(), copy);
}

Status run_all(const Options& options, const model::ModelConfig& model, const std::optional<vflow::Policy>& policy) {
  VORTEX_ASSIGN(Report report, open_report(options, model));
  VORTEX_ASSIGN(const auto engine, make_engine(options, model));
  VORTEX_TRY(engine->set_policy(policy));
  std::vector<engine::Request> requests = make_requests(options, model.vocab_size);
  // The first run tunes and captures graphs on the way, for every batch size it meets.
  if (options.warm_up) {
    const auto warm = engine->generate(requests, nullptr);
    if (!warm.ok()) return warm.error();
  }
  engine::RunStats stats;
  const auto outputs = engine->generate(requests, &stats);
  if (!outputs.ok()) return outputs.error();
  Record record;
  record.what = "trace, run";
  record.shape = std::to_string(requests.size()) + " requests";
  record.policy = policy_name(options, policy);
  record.seconds = record.fastest = record.slowest = stats.prefill_seconds + stats.decode_seconds;
  record.bytes = static_cast<double>(stats.kv_bytes_read + stats.weight_bytes_read);
  const auto tokens = static_cast<double>(stats.decode_tokens) + static_cast<double>(requests.size());
  record.tokens_per_second = tokens / record.seconds;
  report.add(record);
  report.add_value("tokens", tokens, "");
  report.add_value("decode steps", static_cast<double>(stats.decode_steps), "");
  report.add_value("mean batch", static_cast<double>(stats.decode_tokens) / static_cast<double>(stats.decode_steps),
                   "requests");
  report.add_value("prefill", stats.prefill_seconds, "s");
  report.add_value("decode", stats.decode_seconds, "s");
  return report.finish();
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
