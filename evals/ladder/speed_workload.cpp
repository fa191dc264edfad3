#include "evals/ladder/speed_workload.h"

#include "core/engine/workload/turns.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/workload.h"

namespace vortex::evals {
namespace {

constexpr double kGiga = 1e9;
// On a CPU the pool is filled for a window in about the time of the steps that are timed in it: turns of one window,
// each at another place of the plan, tell as much in less time. Five of them have as narrow an interval as three of
// four windows (Student's t with 4 degrees instead of 2), in less than half of their time.
constexpr int kCpuWindows = 1;
constexpr int kCpuFewestTurns = 5;

job::Metric mean_metric(const char* name, const std::vector<double>& samples, const char* unit, double scale = 1) {
  const engine::Estimate estimate = engine::mean_estimate(samples);
  return {name, estimate.value * scale, estimate.lo * scale, estimate.hi * scale, unit};
}

job::Metric exact(const char* name, double value, const char* unit) { return {name, value, value, value, unit}; }

std::vector<double> bytes_per_second(const engine::Side& side) {
  std::vector<double> rates;
  for (const double seconds : side.seconds) { rates.push_back(side.bytes / seconds); }
  return rates;
}

std::vector<job::Metric> metrics_of(const engine::Comparison& found) {
  const engine::Side& own = found.policy;
  const std::vector<double> rates = bytes_per_second(own);
  return {mean_metric("tokens_per_s", own.tokens_per_second(), "tok/s"),
          mean_metric("speedup_vs_dense", found.ratio, ""),
          mean_metric("dense_tokens_per_s", found.dense.tokens_per_second(), "tok/s"),
          mean_metric("end_to_end_tokens_per_s", own.end_to_end(found.prompt_seconds), "tok/s"),
          mean_metric("dense_end_to_end_tokens_per_s", found.dense.end_to_end(found.prompt_seconds), "tok/s"),
          mean_metric("token_ms_p50", own.token_seconds, "ms", 1e3),
          mean_metric("token_ms_p95", own.slow_token_seconds, "ms", 1e3),
          exact("mean_batch", own.plan.mean_batch, ""),
          exact("dense_mean_batch", found.dense.plan.mean_batch, ""),
          exact("bytes_per_token", own.bytes / static_cast<double>(own.plan.decode_tokens()), "B"),
          mean_metric("gigabytes_per_s", rates, "GB/s", 1 / kGiga),
          mean_metric("percent_of_limit", rates, "%", 100 / found.copy_bytes_per_second)};
}

nlohmann::json plan_json(const engine::Side& side) {
  return {{"pages", side.pages},
          {"most_pages_held", side.plan.most_pages},
          {"steps", side.plan.steps},
          {"seconds", side.seconds}};
}

}  // namespace

Result<job::StageResult> run_speed_on_workload(Session& session) {
  VORTEX_ASSIGN(const ServedLoad served, served_load(session));
  engine::TurnOptions turns;
  turns.sampling = engine::quick_sampling();
  if (session.driver == 0) {
    turns.sampling.windows = kCpuWindows;
    turns.fewest_turns = turns.fewest_in_time = kCpuFewestTurns;
  } else {
    turns.warm_up_turns = 1;
  }
  turns.precision = session.job.speed_precision;
  turns.seconds = session.job.speed_seconds;
  VORTEX_ASSIGN(const engine::Comparison found,
                engine::compare_in_turns(*session.engine, session.policy, served.load, turns));
  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  VORTEX_ASSIGN(result.evidence, evidence_of(session, found.policy.stats));
  result.evidence["workload"] = served.evidence;
  result.evidence["turns"] = found.ratio.size();
  result.evidence["ratios"] = found.ratio;
  result.evidence["ended"] = found.narrow ? "the interval is narrow enough" : "the seconds are up";
  result.evidence["windows_a_turn"] = turns.sampling.windows;
  result.evidence["dense_plan"] = plan_json(found.dense);
  if (session.policy) { result.evidence["plan"] = plan_json(found.policy); }
  // K and V of the windows: those of real prompts, or random.
  result.evidence["kv_tokens"] = found.placed_tokens;
  result.evidence["kv_tokens_of_prompts"] = found.real_tokens;
  result.evidence["policy_seconds"] = found.policy_seconds;
  result.evidence["place_seconds"] = found.place_seconds;
  result.evidence["copy_gb_per_s"] = found.copy_bytes_per_second / kGiga;
  result.evidence["prompt_seconds"] = found.prompt_seconds;
  result.metrics = metrics_of(found);
  return result;
}

}  // namespace vortex::evals
