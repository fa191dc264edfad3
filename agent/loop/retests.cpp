#include "agent/loop/retests.h"

#include <algorithm>
#include <utility>

#include "study/retest.h"

namespace vortex::agent {
namespace {

constexpr int kProspectRounds = 5;  // before a point may become a finalist
// What dense attention may take for rounds of retests, over what climbs took. Where a prompt takes longer than its
// answer, its new problems are what retests cost: those that follow it find their prompts read.
constexpr double kNewProblemsShare = 0.25;

}  // namespace

Retests::Retests(const LoopParts& parts, Knowledge& knowledge)
    : parts_(parts), knowledge_(knowledge), racing_({std::min(parts.options.retests, study::kMaxRetests)}) {}

// The first round of each before the second of any.
Result<std::vector<Assignment>> Retests::next(const std::vector<Assignment>& beside, bool all_at_once) {
  const study::SearchOptions& options = parts_.options;
  const auto is_busy = [&](int64_t candidate) {
    return !all_at_once && std::any_of(beside.begin(), beside.end(),
                                       [&](const Assignment& task) { return task.candidate == candidate; });
  };
  const int64_t problems = study::retest_problems(options.job.task);
  const std::vector<Wish> wanted = wishes(all_at_once);
  std::vector<Assignment> tasks;
  const auto is_full = [&] { return static_cast<int>(tasks.size()) == options.batch; };
  const int ahead = all_at_once ? study::kMaxRetests : 1;
  for (int further = 0; further < ahead && !is_full(); ++further) {
    for (const Wish& wish : wanted) {
      const study::Retest retest{wish.retest.candidate, wish.retest.round + further};
      const auto share =
          static_cast<double>(problems_ + problems) / static_cast<double>(knowledge_.clocks().race_problems);
      const bool over = further > 0 && retest.round > wish.last;
      if (over || share > options.retest_share || is_busy(retest.candidate) || !has_time(retest)) { continue; }
      if (retest.candidate != knowledge_.dense()) { problems_ += problems; }
      VORTEX_ASSIGN(job::Job job, job_for(retest));
      tasks.push_back({Assignment::Kind::kRetest, retest.candidate, std::move(job), retest.round});
      if (is_full()) { break; }  // what they answer says who goes on
    }
  }
  if (!tasks.empty()) { VORTEX_TRY(add_dense(tasks)); }
  return tasks;
}

// Prospects before those that could change the front; `all`: both.
std::vector<Retests::Wish> Retests::wishes(bool all) {
  const int most = std::min(parts_.options.retests, study::kMaxRetests);
  const int rounds = std::min(most, kProspectRounds);
  const study::Archive& archive = knowledge_.standing().archive();
  std::vector<Wish> wanted;
  for (const study::Retest& retest : study::retests_of_prospects(archive, knowledge_.rules(), rounds)) {
    wanted.push_back({retest, rounds});
  }
  if (!all && !wanted.empty()) { return wanted; }
  for (const study::Retest& retest : racing_.wanted(archive)) {
    const auto is_it = [&](const Wish& wish) { return wish.retest.candidate == retest.candidate; };
    const auto known = std::find_if(wanted.begin(), wanted.end(), is_it);
    if (known == wanted.end()) {
      wanted.push_back({retest, most});
    } else {
      known->last = most;
    }
  }
  return wanted;
}

// Rounds that are opened at once count with what those before them took; the first of all is opened alone. A search
// whose candidates are counted decides nothing by the clock: it comes to the same on any machine.
bool Retests::has_time(const study::Retest& retest) const {
  if (parts_.options.max_evals > 0) { return true; }
  const int answered = knowledge_.of(knowledge_.dense()).retests;
  const int before = retest.round - answered - 1;  // that are opened with it
  if (before < 0) { return true; }
  if (answered == 0 && before > 0) { return false; }
  const Clocks& clocks = knowledge_.clocks();
  const double ahead = before * clocks.new_problems_seconds / std::max(1, answered);
  return clocks.new_problems_seconds + ahead <= kNewProblemsShare * clocks.climb_seconds;
}

Result<job::Job> Retests::job_for(const study::Retest& retest) const {
  job::Job job = parts_.options.job;
  job.dense = retest.candidate == knowledge_.dense();
  VORTEX_TRY(parts_.shelf.fill(retest.candidate, job));
  job.stages = {job::Stage::kRace};
  job.task = study::retest_task(parts_.options.job.task, retest.round);
  return job;  // paired here, not in the worker
}

// Puts the rounds that dense attention lacks before those of others.
Status Retests::add_dense(std::vector<Assignment>& tasks) const {
  const int64_t dense = knowledge_.dense();
  int last = 0;
  for (const Assignment& task : tasks) { last = std::max(last, task.round); }
  std::vector<Assignment> all;
  for (int round = knowledge_.of(dense).retests + 1; round <= last; ++round) {
    VORTEX_ASSIGN(job::Job job, job_for({dense, round}));
    all.push_back({Assignment::Kind::kRetest, dense, std::move(job), round});
  }
  std::erase_if(tasks, [dense](const Assignment& task) { return task.candidate == dense; });
  all.insert(all.end(), tasks.begin(), tasks.end());
  tasks = std::move(all);
  return ok_status();
}

Result<std::string> Retests::answer(int64_t candidate) {
  const int round = knowledge_.of(candidate).retests + 1;
  if (round > study::kMaxRetests) { return std::string("refused: it has answered every round"); }
  // Dense attention answers the same problems, so that the two stay paired.
  VORTEX_ASSIGN(job::Job job, job_for({candidate, round}));
  std::vector<Assignment> tasks = {{Assignment::Kind::kRetest, candidate, std::move(job), round, true}};
  VORTEX_TRY(add_dense(tasks));
  for (const Assignment& task : tasks) {
    VORTEX_TRY(parts_.evaluator.run({task}));
    if (parts_.session.ended()) { return std::string(); }
    VORTEX_TRY(knowledge_.take({task}));
  }
  VORTEX_ASSIGN(const study::CandidateHistory history, knowledge_.read(candidate));
  const db::StageRound stage = study::retest_stage(round);
  const db::StageRow* row = study::last_stage(history, stage);
  if (row == nullptr) { return db::stage_round_name(stage) + " was not run"; }
  return db::stage_round_name(stage) + ": " + std::string(name_of(row->verdict)) +
         (row->message.empty() ? "" : ", " + row->message);
}

}  // namespace vortex::agent
