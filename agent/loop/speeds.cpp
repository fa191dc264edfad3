#include "agent/loop/speeds.h"

#include <algorithm>
#include <utility>

#include "study/retest.h"

namespace vortex::agent {
namespace {

// A first look at a speed ends with an interval so many times as wide as asked, or after such a share of the seconds:
// it says who is worth a further process.
constexpr double kFirstLook = 3;
constexpr double kFirstShare = 0.5;

}  // namespace

void Speeds::set_first_look(job::Job& job) const {
  if (parts_.options.speed_runs <= 1) { return; }
  job.speed_precision = std::min(1.0, kFirstLook * job.speed_precision);
  job.speed_seconds *= kFirstShare;
}

// Whoever joins the front meanwhile waits until those that were members are measured.
Result<std::vector<Assignment>> Speeds::next(bool all_at_once) {
  VORTEX_ASSIGN(std::vector<Assignment> tasks, lacking(measuring_, all_at_once));
  if (!tasks.empty() || parts_.options.rank_speed == study::RankSpeed::kModelled) { return tasks; }
  measuring_.clear();
  for (const study::Point& point : knowledge_.standing().front()) { measuring_.push_back(point.candidate); }
  return lacking(measuring_, all_at_once);
}

Status Speeds::measure(const std::vector<int64_t>& candidates) {
  while (!parts_.session.ended()) {
    VORTEX_ASSIGN(const std::vector<Assignment> tasks, lacking(candidates, parts_.options.overlap > 0));
    if (tasks.empty()) { break; }
    VORTEX_TRY(parts_.evaluator.run(tasks));
    VORTEX_TRY(knowledge_.take(tasks));
  }
  return ok_status();
}

// What all samples of one process share is seen only by further processes. Candidates take turns, so that what
// changes on the machine meets all of them: these are the next one of each that lacks it, of the first that any lacks.
Result<std::vector<Assignment>> Speeds::lacking(const std::vector<int64_t>& candidates, bool all_at_once) const {
  std::vector<Assignment> tasks;
  if (parts_.options.rank_speed == study::RankSpeed::kModelled) { return tasks; }
  for (int run = 2; run <= std::min(parts_.options.speed_runs, study::kMaxSpeedRuns); ++run) {
    if (!all_at_once && !tasks.empty()) { break; }
    for (const int64_t candidate : candidates) {
      if (!parts_.shelf.contains(candidate) || knowledge_.of(candidate).speed_runs >= run) { continue; }
      VORTEX_ASSIGN(const vflow::PolicySource source, parts_.shelf.source(candidate));
      job::Job job = knowledge_.job_of(source);
      job.stages = {job::Stage::kSpeed};
      tasks.push_back({Assignment::Kind::kSpeed, candidate, std::move(job), run});
    }
  }
  return tasks;
}

}  // namespace vortex::agent
