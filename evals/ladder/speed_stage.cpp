#include <algorithm>

#include "base/clock.h"
#include "core/engine/requests.h"
#include "evals/ladder/evidence.h"
#include "evals/ladder/memory_read.h"
#include "evals/ladder/speed_workload.h"
#include "evals/ladder/stages.h"
#include "evals/ladder/workload.h"
#include "evals/statistics.h"

namespace vortex::evals {
namespace {

constexpr int kMinPairs = 6;  // with fewer the range of all of them is no 95 % interval of the median
constexpr int kWarmUpTokens = 8;
constexpr double kMemoryTestSeconds = 0.1;
constexpr double kGigabyte = 1e9;

// The fixed work: the first problems of the task, as many as decode together, each for exactly `tokens` tokens, or as
// many as the model has positions behind its prompt.
Result<std::vector<engine::Request>> fixed_work(Session& session, int tokens) {
  std::vector<engine::Request> requests;
  const size_t count = std::min(session.problems.size(), static_cast<size_t>(session.job.batch));
  for (size_t i = 0; i < count; ++i) {
    VORTEX_ASSIGN(engine::Request request, request_of(session, session.problems[i]));
    request.max_new_tokens = std::min(tokens, timed_tokens(session, session.problems[i]));
    if (request.max_new_tokens < 2) {  // prefill gives the first
      return candidate_error("a prompt of " + std::to_string(request.prompt.size()) +
                                 " tokens leaves no room to time decoding behind it: the model has " +
                                 std::to_string(session.config.max_position_embeddings) + " positions",
                             "take shorter problems");
    }
    request.ignore_eos = true;
    request.sampling = {};
    requests.push_back(std::move(request));
  }
  return requests;
}

// Decodes the work under a policy.
Result<engine::RunStats> decode(Session& session, const std::optional<vflow::Policy>& policy,
                                const std::vector<engine::Request>& work) {
  VORTEX_TRY(session.engine->set_policy(policy));
  engine::RunStats stats;
  const auto outputs = session.engine->generate(work, &stats);
  if (!outputs.ok()) { return outputs.error(); }
  for (size_t i = 0; i < work.size(); ++i) {
    if (static_cast<int>((*outputs)[i].tokens.size()) != work[i].max_new_tokens) {
      return internal_error("a request of fixed work ended early");
    }
  }
  return stats;
}

// All steps of fixed work do nearly the same: what others on the machine make of a few of them is left out.
double seconds_of_steps(const engine::RunStats& stats) {
  return median_interval(stats.step_seconds).value * static_cast<double>(stats.decode_steps);
}

double tokens_per_second(const engine::RunStats& stats) {
  return static_cast<double>(stats.decode_tokens) / seconds_of_steps(stats);
}

double gigabytes_per_second(const engine::RunStats& stats) {
  return static_cast<double>(stats.kv_bytes_read + stats.weight_bytes_read) / seconds_of_steps(stats) / kGigabyte;
}

struct Samples {
  std::vector<double> dense;  // tokens per second
  std::vector<double> policy;
  std::vector<double> speedup;
  std::vector<double> bandwidth;  // GB/s
  engine::RunStats dense_stats;
  engine::RunStats policy_stats;
};

// One pair; dense attention alone is its own partner.
Status measure_pair(Session& session, const std::vector<engine::Request>& work, Samples& samples) {
  VORTEX_ASSIGN(const engine::RunStats dense, decode(session, std::nullopt, work));
  engine::RunStats own = dense;
  if (session.policy) { VORTEX_ASSIGN(own, decode(session, session.policy, work)); }
  if (own.decode_tokens != dense.decode_tokens || own.decode_tokens == 0) {
    return internal_error("the two sides of a pair decoded different numbers of tokens");
  }
  samples.dense.push_back(tokens_per_second(dense));
  samples.policy.push_back(tokens_per_second(own));
  samples.speedup.push_back(samples.policy.back() / samples.dense.back());
  samples.bandwidth.push_back(gigabytes_per_second(own));
  engine::add_stats(dense, samples.dense_stats);
  engine::add_stats(own, samples.policy_stats);
  return ok_status();
}

job::Metric median_metric(const char* name, const std::vector<double>& samples, const char* unit, double scale = 1) {
  const Interval interval = median_interval(samples);
  return {name, interval.value * scale, interval.lo * scale, interval.hi * scale, unit};
}

// Narrow enough to end?
bool is_narrow(const Samples& samples, double precision) {
  const Interval ratio = median_interval(samples.speedup);
  return ratio.hi - ratio.lo <= 2 * precision * ratio.value;
}

Result<job::StageResult> run_speed_of_fixed_work(Session& session) {
  const double begin = monotonic_seconds();
  if (session.job.speed_tokens < 2) {
    return candidate_error("speed_tokens must be at least 2: prefill gives the first");
  }
  VORTEX_ASSIGN(const auto warm_up, fixed_work(session, std::min(kWarmUpTokens, session.job.speed_tokens)));
  VORTEX_ASSIGN(const auto work, fixed_work(session, session.job.speed_tokens));
  Samples warm;
  VORTEX_TRY(measure_pair(session, warm_up, warm));
  // Of the machine's memory; a device's own is compared in vortex bench.
  const bool on_cpu = session.driver == 0;
  const double memory = on_cpu ? memory_read_bandwidth(session.job.threads, kMemoryTestSeconds) / kGigabyte : 0;
  Samples samples;
  // Dense attention beside itself has no ratio to be sure of: its tokens per second want the time.
  for (double last = 0;
       samples.speedup.size() < kMinPairs || monotonic_seconds() - begin + last < session.job.speed_seconds;) {
    if (samples.speedup.size() >= kMinPairs && session.policy && is_narrow(samples, session.job.speed_precision)) {
      break;
    }
    const double start = monotonic_seconds();
    VORTEX_TRY(measure_pair(session, work, samples));
    last = monotonic_seconds() - start;
  }
  VORTEX_TRY(session.engine->set_policy(session.policy));

  job::StageResult result;
  result.verdict = job::Verdict::kPass;
  VORTEX_ASSIGN(result.evidence, evidence_of(session, samples.policy_stats));
  result.evidence["requests"] = work.size();
  result.evidence["tokens_a_request"] = work.front().max_new_tokens;
  result.evidence["pairs"] = samples.speedup.size();
  result.evidence["dense_samples"] = samples.dense;
  result.evidence["policy_samples"] = samples.policy;
  if (on_cpu) { result.evidence["memory_read_gb_per_s"] = memory; }
  const auto tokens = static_cast<double>(samples.policy_stats.decode_tokens);
  const engine::RunStats& own = samples.policy_stats;
  const double bytes = static_cast<double>(own.kv_bytes_read + own.weight_bytes_read) / tokens;
  result.metrics = {median_metric("tokens_per_s", samples.policy, "tok/s"),
                    median_metric("speedup_vs_dense", samples.speedup, ""),
                    median_metric("dense_tokens_per_s", samples.dense, "tok/s"),
                    {"bytes_per_token", bytes, bytes, bytes, "B"},
                    median_metric("gigabytes_per_s", samples.bandwidth, "GB/s")};
  if (on_cpu) {
    result.metrics.push_back(median_metric("percent_of_memory_read", samples.bandwidth, "%", 100 / memory));
  }
  return result;
}

}  // namespace

Result<job::StageResult> run_speed(Session& session) {
  const bool on_device = session.driver != 0;
  return measures_fixed_work(session.job.task, on_device) ? run_speed_of_fixed_work(session)
                                                          : run_speed_on_workload(session);
}

}  // namespace vortex::evals
