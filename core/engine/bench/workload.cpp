// A policy beside dense attention, in turns, on the requests of `trace`: what the ladder's speed stage measures.
#include "core/engine/bench/bench.h"
#include "core/engine/workload/turns.h"

namespace vortex::bench {
namespace {

void add_estimate(Report& report, const std::string& name, const std::vector<double>& samples, double scale,
                  const std::string& unit) {
  const engine::Estimate estimate = engine::mean_estimate(samples);
  report.add_value(name, estimate.value * scale, unit);
  report.add_value(name + ", from", estimate.lo * scale, unit);
  report.add_value(name + ", to", estimate.hi * scale, unit);
}

Record record_of(const engine::Side& side, const std::string& policy) {
  const engine::StepTime time = {engine::mean_estimate(side.seconds).value, engine::quantile(side.seconds, 0),
                                 engine::quantile(side.seconds, 1)};
  Record record;
  record.what = "decoding";
  record.shape = std::to_string(side.plan.stays.size()) + " requests";
  record.policy = policy;
  record.seconds = time.median;
  record.fastest = time.fastest;
  record.slowest = time.slowest;
  record.bytes = side.bytes;
  record.tokens_per_second = static_cast<double>(side.plan.decode_tokens()) / record.seconds;
  return record;
}

}  // namespace

Status bench_workload(const Options& options) {
  VORTEX_ASSIGN(const model::ModelConfig model, find_geometry(options));
  VORTEX_ASSIGN(const std::optional<vflow::Policy> policy, find_policy(options, model));
  VORTEX_TRY(check_trace_fits(options));
  if (!policy) { return candidate_error("which policy?", "name one with --policy: dense attention goes beside it"); }
  Options of_engine = options;
  of_engine.kv.clear();  // what --kv says is the policy's: dense attention keeps bfloat16
  VORTEX_ASSIGN(const auto engine, make_engine(of_engine, model));
  engine::TurnOptions turns;
  turns.sampling = engine::quick_sampling();
  turns.precision = options.precision;
  turns.seconds = options.seconds;
  turns.warm_up_turns = engine->stepper()->on_device() ? 1 : 0;
  VORTEX_ASSIGN(const engine::Comparison found,
                engine::compare_in_turns(*engine, policy, {trace_requests(options), {}}, turns));
  Report report(options, engine->stepper()->device(), found.copy_bytes_per_second);
  report.add(record_of(found.dense, policy_name(of_engine, std::nullopt)));
  report.add(record_of(found.policy, policy_name(options, policy)));
  add_estimate(report, "speed over dense", found.ratio, 1, "");
  const double each = found.prompt_seconds;
  add_estimate(report, "end to end", found.policy.end_to_end(each), 1, "tok/s");
  add_estimate(report, "end to end, dense", found.dense.end_to_end(each), 1, "tok/s");
  add_estimate(report, "time per output token, P50", found.policy.token_seconds, 1e3, "ms");
  add_estimate(report, "time per output token, P95", found.policy.slow_token_seconds, 1e3, "ms");
  report.add_value("mean batch", found.policy.plan.mean_batch, "requests");
  report.add_value("mean batch, dense", found.dense.plan.mean_batch, "requests");
  report.add_value("turns", static_cast<double>(found.ratio.size()), "");
  report.add_value("prefill of a prompt", each * 1e3, "ms");
  return report.finish();
}

}  // namespace vortex::bench
