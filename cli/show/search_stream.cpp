#include "cli/show/search_stream.h"

#include "cli/output.h"

namespace vortex::cli {

void SearchStream::stage(int64_t candidate, const std::string& stage, const job::StageResult& result) {
  nlohmann::json metrics = nlohmann::json::object();
  for (const job::Metric& metric : result.metrics) {
    metrics[metric.name] = interval_json({metric.value, metric.lo, metric.hi});
  }
  const MutexLock guard(mutex_);
  print_record(Format::kJsonl, "stage",
               {{"run", run_},
                {"candidate", candidate},
                {"stage", stage},
                {"verdict", result.verdict},
                {"message", result.message},
                {"seconds", result.seconds},
                {"metrics", metrics}});
}

void SearchStream::candidate(const agent::CandidateSummary& summary) {
  const bool passed = summary.verdict == job::Verdict::kPass;
  const MutexLock guard(mutex_);
  print_record(Format::kJsonl, "candidate",
               {{"run", run_},
                {"candidate", summary.candidate},
                {"origin", summary.origin},
                {"verdict", summary.verdict},
                {"message", summary.message},
                {"accuracy", passed ? interval_json(summary.accuracy) : nlohmann::json()},
                {"speed_over_dense", passed ? interval_json(summary.speed) : nlohmann::json()}});
}

void SearchStream::event(const std::string& what, const nlohmann::json& detail) {
  const MutexLock guard(mutex_);
  print_record(Format::kJsonl, "event", {{"run", run_}, {"event", what}, {"detail", detail}});
}

}  // namespace vortex::cli
