#include "cli/show/stage_table.h"

#include "base/text.h"

namespace vortex::cli {

std::string planned_text(const nlohmann::json& evidence) {
  const auto planned = evidence.find("planned_seconds");
  return planned == evidence.end() || !planned->is_number() ? "-" : fixed(planned->get<double>(), 2);
}

Table stage_table(const std::vector<job::StageResult>& results) {
  Table table({"stage", "verdict", "planned", "seconds", "metrics"});
  table.may_drop({"planned", "seconds"});
  table.wrap("metrics");
  table.tint("verdict");
  for (const job::StageResult& result : results) {
    std::vector<std::string> metrics;
    for (const job::Metric& metric : result.metrics) {
      metrics.push_back(metric.name + " " + interval_text({metric.value, metric.lo, metric.hi}, 3) +
                        (metric.unit.empty() ? "" : " " + metric.unit));
    }
    const std::string reason = first_line(result.message);
    if (!reason.empty()) { metrics.push_back(reason); }
    table.add({std::string(stage_name(result.stage)), std::string(verdict_name(result.verdict)),
               planned_text(result.evidence), fixed(result.seconds, 2), join(metrics, "; ")});
  }
  return table;
}

}  // namespace vortex::cli
