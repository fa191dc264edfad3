// A trace of requests as an AIME24 evaluation makes them: short prompts, long answers of very different lengths.
#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "core/engine/bench/bench.h"

namespace vortex::bench {
namespace {

void report_plan(Report& report, const engine::Plan& plan, int64_t pages) {
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
  VORTEX_ASSIGN(const Rig rig, make_rig(options, model, policy));
  engine::Stepper& stepper = *rig.stepper;
  Report report(options, stepper.device(), rig.copy);
  const engine::Plan plan = engine::plan_requests(trace_requests(options), engine::limits_of(stepper));
  const std::vector<double> round_bytes =
      engine::bytes_of_rounds(plan, model, policy ? &*policy : nullptr, stepper.kv_dtype());
  VORTEX_ASSIGN(const engine::PlanTime time,
                engine::time_plan(stepper, plan, round_bytes, {}, trace_sampling(options)));
  VORTEX_ASSIGN(const double of_prompt, engine::time_prompt(stepper, options.prompt));
  const double prefill = of_prompt * static_cast<double>(plan.stays.size());

  Record record;
  record.what = "trace, est.";
  record.shape = std::to_string(plan.stays.size()) + " requests";
  record.policy = policy_name(options, policy);
  record.seconds = time.decode.median + prefill;
  record.fastest = time.decode.fastest + prefill;
  record.slowest = time.decode.slowest + prefill;
  record.bytes = engine::bytes_of_steps(plan, round_bytes);
  record.tokens_per_second = static_cast<double>(plan.tokens) / record.seconds;
  report.add(record);
  report_plan(report, plan, stepper.pages());
  report.add_value("windows measured, K and V random", static_cast<double>(time.windows.size()), "");
  report.add_value("decoding alone", static_cast<double>(plan.decode_tokens()) / time.decode.median, "tok/s");
  std::vector<double> steps;
  for (const engine::Window& window : time.windows) { steps.push_back(window.step.median); }
  report.add_value("fastest step of a window", engine::quantile(steps, 0) * 1e3, "ms");
  report.add_value("slowest step of a window", engine::quantile(steps, 1) * 1e3, "ms");
  const std::vector<double> tokens =
      engine::token_times(plan, engine::clock_of_plan(plan, round_bytes, time), of_prompt);
  report.add_value("time per output token, P50", engine::quantile(tokens, 0.5) * 1e3, "ms");
  report.add_value("time per output token, P95", engine::quantile(tokens, 0.95) * 1e3, "ms");
  report.add_value("prefill of a prompt", of_prompt * 1e3, "ms");
  return report.finish();
}

std::vector<engine::Request> make_requests(const Options& options, int vocab) {
  std::vector<engine::Request> requests;
  Rng rng(stream_key(options.seed, 1));
  for (const engine::RequestLength& length : trace_requests(options)) {
    engine::Request request;
    for (int i = 0; i < length.prompt; ++i) { request.prompt.push_back(rng.between(0, vocab - 1)); }
    request.max_new_tokens = length.answer;
    request.ignore_eos = true;
    request.seed = requests.size();
    requests.push_back(std::move(request));
  }
  return requests;
}

Status run_all(const Options& options, const model::ModelConfig& model, const std::optional<vflow::Policy>& policy) {
  VORTEX_ASSIGN(const auto engine, make_engine(options, model));
  VORTEX_ASSIGN(const double copy, engine->stepper()->copy_bandwidth());
  Report report(options, engine->stepper()->device(), copy);
  VORTEX_TRY(engine->set_policy(policy));
  std::vector<engine::Request> requests = make_requests(options, model.vocab_size);
  // The first run tunes and captures graphs on the way, for every batch size it meets.
  if (options.warm_up) {
    const auto warm = engine->generate(requests, nullptr);
    if (!warm.ok()) { return warm.error(); }
  }
  engine::RunStats stats;
  const auto outputs = engine->generate(requests, &stats);
  if (!outputs.ok()) { return outputs.error(); }
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

engine::PlanSampling trace_sampling(const Options& options) {
  engine::PlanSampling sampling;
  sampling.windows = options.windows;
  sampling.steps.steps = std::max(1, options.steps / 2);
  return sampling;
}

std::vector<engine::RequestLength> trace_requests(const Options& options) {
  const int count = std::max(1, static_cast<int>(std::lround(options.requests * options.scale)));
  const engine::LogNormal answers{options.mean_output, options.sigma, options.longest_output};
  std::vector<engine::RequestLength> requests;
  for (const int answer : engine::draw_lengths(answers, count, options.seed)) {
    requests.push_back({options.prompt, answer});
  }
  return requests;
}

Status check_fits(int prompt, int answer, int context) {
  if (prompt + answer <= context) { return ok_status(); }
  return candidate_error("a prompt of " + std::to_string(prompt) + " and an answer of " + std::to_string(answer) +
                         " tokens exceed the context of " + std::to_string(context));
}

Status check_trace_fits(const Options& options) {
  return check_fits(options.prompt, options.longest_output, options.max_context);
}

Status bench_trace(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_TRY(check_trace_fits(options));
  return options.windows > 0 ? run_windows(options, model, policy) : run_all(options, model, policy);
}

}  // namespace vortex::bench
