#include "agent/loop/rounds.h"

#include <algorithm>

#include "study/held_out.h"
#include "study/reproduce.h"
#include "study/retest.h"

namespace vortex::agent {
namespace {

constexpr int kProspectRounds = 8;    // of retests before a point may become a finalist
constexpr double kFinalsShare = 0.4;  // of the time, for finalists

}  // namespace

Rounds::Rounds(Session& session, const study::SearchOptions& options, Evaluator& evaluator, const Shelf& shelf)
    : session_(session),
      options_(options),
      evaluator_(evaluator),
      shelf_(shelf),
      standing_(options),
      sequence_rules_(study::sequence_rules(options)),
      racing_({std::min(options.retests, study::kMaxRetests)}) {}

void Rounds::take_dense(const study::CandidateHistory& dense) {
  incumbent_ = study::incumbent_of(dense);
  count_race(dense);
}

job::Job Rounds::begin(const vflow::PolicySource& source) const {
  job::Job job = options_.job;
  job.module_text = source.module_text;
  job.config_text = source.config_text;
  job.incumbent = incumbent_;
  return job;
}

void Rounds::count_race(const study::CandidateHistory& candidate) {
  const db::StageRow* race = study::last_stage(candidate, job::Stage::kRace);
  if (race == nullptr) { return; }
  race_problems_ += static_cast<int64_t>(study::outcomes_of(candidate, *race).size());
  if (candidate.row.id != dense_) { policy_race_seconds_ = race->seconds; }
}

bool Rounds::was_confirmed(int64_t candidate) const {
  const auto known = known_.find(candidate);
  return known != known_.end() && known->second.confirmed;
}

Result<job::Job> Rounds::speed_job(int64_t candidate) const {
  VORTEX_ASSIGN(const vflow::PolicySource source, shelf_.source(candidate));
  job::Job job = begin(source);
  job.stages = {job::Stage::kSpeed};
  return job;
}

Result<job::Job> Rounds::retest_job(const study::Retest& retest) const {
  job::Job job = options_.job;
  job.dense = retest.candidate == dense_;
  if (shelf_.contains(retest.candidate)) {
    VORTEX_ASSIGN(const vflow::PolicySource source, shelf_.source(retest.candidate));
    job.module_text = source.module_text;
    job.config_text = source.config_text;
  }
  job.stages = {job::Stage::kRace};
  job.task = study::retest_task(options_.job.task, retest.round);
  return job;  // paired here, not in the worker
}

Status Rounds::race_front() {
  const int rounds = std::min({options_.retests, study::kMaxRetests, kProspectRounds});
  while (!session_.ended()) {
    const study::Archive& archive = standing_.archive();
    std::vector<study::Retest> wanted = study::retests_of_prospects(archive, sequence_rules_, rounds);
    if (wanted.empty()) { wanted = racing_.wanted(archive); }
    std::vector<Assignment> tasks;
    for (const study::Retest& retest : wanted) {
      const int64_t problems = study::retest_problems(options_.job.task, retest.round);
      const auto share = static_cast<double>(retest_problems_ + problems) / static_cast<double>(race_problems_);
      if (share > options_.retest_share) { continue; }
      if (retest.candidate != dense_) { retest_problems_ += problems; }
      VORTEX_ASSIGN(job::Job job, retest_job(retest));
      tasks.push_back({Assignment::Kind::kRetest, retest.candidate, std::move(job), retest.round});
      if (static_cast<int>(tasks.size()) == options_.batch) { break; }  // what they answer says who goes on
    }
    if (tasks.empty()) { return ok_status(); }
    VORTEX_TRY(add_dense_retests(tasks));
    VORTEX_TRY(evaluator_.run(tasks));
    if (session_.ended()) {
      return ok_status();  // a part of a round must decide nothing
    }
    for (const Assignment& task : tasks) { known_[task.candidate].retests = task.round; }
    VORTEX_TRY(absorb_all(tasks));
    VORTEX_TRY(measure_front());
  }
  return ok_status();
}

// Puts the rounds that dense attention lacks before those of others.
Status Rounds::add_dense_retests(std::vector<Assignment>& tasks) {
  int last = 0;
  for (const Assignment& task : tasks) { last = std::max(last, task.round); }
  std::vector<Assignment> all;
  for (int round = known_[dense_].retests + 1; round <= last; ++round) {
    VORTEX_ASSIGN(job::Job job, retest_job({dense_, round}));
    all.push_back({Assignment::Kind::kRetest, dense_, std::move(job), round});
  }
  std::erase_if(tasks, [this](const Assignment& task) { return task.candidate == dense_; });
  all.insert(all.end(), tasks.begin(), tasks.end());
  tasks = std::move(all);
  return ok_status();
}

// What all samples of one process share is seen only by further processes. Candidates take turns, so that what
// changes on the machine meets all of them.
Status Rounds::measure(const std::vector<int64_t>& candidates) {
  if (options_.rank_speed == study::RankSpeed::kModelled) { return ok_status(); }
  for (int run = 2; run <= std::min(options_.speed_runs, study::kMaxSpeedRuns) && !session_.ended(); ++run) {
    std::vector<Assignment> tasks;
    for (const int64_t candidate : candidates) {
      if (!shelf_.contains(candidate) || known_[candidate].speed_runs >= run) { continue; }
      VORTEX_ASSIGN(job::Job job, speed_job(candidate));
      tasks.push_back({Assignment::Kind::kSpeed, candidate, std::move(job), run});
    }
    VORTEX_TRY(evaluator_.run(tasks));
    if (session_.ended()) { return ok_status(); }
    for (const Assignment& task : tasks) { known_[task.candidate].speed_runs = run; }
    VORTEX_TRY(absorb_all(tasks));
  }
  return ok_status();
}

Status Rounds::measure_front() {
  const auto is_measured = [this](int64_t candidate) {
    return !shelf_.contains(candidate) || known_[candidate].speed_runs >= options_.speed_runs;
  };
  while (!session_.ended() && options_.rank_speed == study::RankSpeed::kMeasured) {
    std::vector<int64_t> members;
    for (const study::Point& point : standing_.front()) {
      if (!is_measured(point.candidate)) { members.push_back(point.candidate); }
    }
    if (members.empty()) { return ok_status(); }
    VORTEX_TRY(measure(members));
  }
  return ok_status();
}

Result<std::string> Rounds::answer(const db::Request& request) {
  if (!shelf_.contains(request.candidate)) { return std::string("refused: it is no candidate that can be run"); }
  return request.kind == db::RequestKind::kConfirm ? answer_confirm(request.candidate)
                                                   : answer_retest(request.candidate);
}

Result<std::string> Rounds::answer_confirm(int64_t candidate) {
  const study::SequenceRules& rules = sequence_rules_;
  if (!options_.confirm) { return std::string("refused: this search has no held-out problems"); }
  if (known_[candidate].confirmed) { return std::string("it was asked on held-out problems before"); }
  study::Finalist finalist{candidate, {}, std::nullopt};
  VORTEX_ASSIGN(const bool passed, ask_finalist(finalist, rules));
  if (session_.ended()) { return std::string(); }
  if (!passed) { return std::string("confirm: it failed on held-out problems"); }
  VORTEX_TRY(measure({candidate}));
  const study::Claim claim = study::judge_claims({finalist}, held_out_dense_, rules, options_.seed).front();
  return "confirm: " + std::string(evals::keeping_name(claim.keeping)) + " on " + std::to_string(claim.problems) +
         " held-out problems";
}

Result<std::string> Rounds::answer_retest(int64_t candidate) {
  const int round = known_[candidate].retests + 1;
  if (round > study::kMaxRetests) { return std::string("refused: it has answered every round"); }
  // Dense attention answers the same problems, so that the two stay paired.
  VORTEX_ASSIGN(job::Job job, retest_job({candidate, round}));
  std::vector<Assignment> tasks = {{Assignment::Kind::kRetest, candidate, std::move(job), round, true}};
  VORTEX_TRY(add_dense_retests(tasks));
  for (const Assignment& task : tasks) {
    VORTEX_TRY(evaluator_.run({task}));
    if (session_.ended()) { return std::string(); }
    known_[task.candidate].retests = task.round;
    VORTEX_TRY(absorb_all({task}));
  }
  VORTEX_ASSIGN(const study::CandidateHistory history, study::read_candidate(session_.store(), candidate));
  const db::StageRound stage = study::retest_stage(round);
  const db::StageRow* row = study::last_stage(history, stage);
  if (row == nullptr) { return db::stage_round_name(stage) + " was not run"; }
  return db::stage_round_name(stage) + ": " + std::string(name_of(row->verdict)) +
         (row->message.empty() ? "" : ", " + row->message);
}

bool Rounds::finals_are_due() const {
  if (options_.seconds <= 0 || !options_.confirm) { return false; }
  const double left = options_.seconds - session_.budget().used(study::Resource::kSeconds);
  const double batch = evaluator_.expected_seconds(options_.job.stages) * options_.batch;
  const double most = kFinalsShare * options_.seconds;
  if (left >= most + batch) { return false; }  // who will be asked is looked up towards the end alone
  const study::SequenceRules& rules = sequence_rules_;
  const double finalists = static_cast<double>(study::best_sequence(standing_.archive(), rules).size());
  const double policy = policy_race_seconds_ / std::max(1, options_.job.task.problems) + dense_problem_seconds_ / 2;
  const double problems = rules.problems / 2.0;  // that a claim takes: most are decided before the last
  const double asking = problems * (dense_problem_seconds_ + std::max(1.0, finalists) * policy);
  return left < std::min(asking, most) + batch;
}

Status Rounds::finals() {
  const study::SequenceRules& rules = sequence_rules_;
  bool again = options_.confirm;
  while (again && !session_.ended()) {
    again = false;
    std::vector<study::Finalist> finalists;
    std::vector<int64_t> kept;
    for (const int64_t candidate : study::best_sequence(standing_.archive(), rules)) {
      finalists.push_back({candidate, {}, std::nullopt});
      VORTEX_ASSIGN(const bool passed, ask_finalist(finalists.back(), rules));
      if (session_.ended()) { return ok_status(); }
      again = !passed;
      if (!passed) { break; }
      const auto claims = study::judge_claims(finalists, held_out_dense_, rules, options_.seed);
      if (!claims.back().kept) { break; }
      kept.push_back(candidate);
    }
    VORTEX_TRY(measure(kept));
  }
  return ok_status();
}

// False if it lost its pass.
Result<bool> Rounds::ask_finalist(study::Finalist& finalist, const study::SequenceRules& rules) {
  const int rounds = static_cast<int>(study::held_out_rounds(options_).size());
  for (int round = 1; round <= rounds; ++round) {
    VORTEX_TRY(answer_held_out(dense_, round));
    VORTEX_TRY(answer_held_out(finalist.candidate, round));
    if (session_.ended()) { return true; }
    VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(session_.store(), dense_));
    VORTEX_ASSIGN(const study::CandidateHistory own, study::read_candidate(session_.store(), finalist.candidate));
    known_[finalist.candidate].confirmed = true;
    if (!study::point_of(own, options_.rank_speed, options_.seed)) {
      absorb(own);
      return false;
    }
    held_out_dense_ = study::held_out_outcomes(dense);
    finalist.outcomes = study::held_out_outcomes(own, round);
    const study::Claim claim = study::judge_claims({finalist}, held_out_dense_, rules, options_.seed).front();
    const evals::Interval today = evals::paired_difference(finalist.outcomes, held_out_dense_, options_.seed);
    const double left = evals::chance_left(today, claim.problems, rules.problems, rules.margin);
    if (claim.keeping != evals::Keeping::kCannotSay || left < study::kHopelessChance) { break; }
  }
  return true;
}

Status Rounds::answer_held_out(int64_t candidate, int round) {
  std::optional<job::Job> job = study::held_out_job(options_, round);
  if (!job || session_.ended()) { return ok_status(); }
  job->dense = candidate == dense_;
  if (shelf_.contains(candidate)) {
    VORTEX_ASSIGN(const vflow::PolicySource source, shelf_.source(candidate));
    job->module_text = source.module_text;
    job->config_text = source.config_text;
    VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(session_.store(), dense_));
    job->incumbent = study::held_out_outcomes(dense);
  }
  return evaluator_.run({{Assignment::Kind::kConfirm, candidate, std::move(*job), round, true}});
}

Status Rounds::absorb_all(const std::vector<Assignment>& tasks) {
  for (const Assignment& task : tasks) {
    VORTEX_ASSIGN(const study::CandidateHistory candidate, study::read_candidate(session_.store(), task.candidate));
    absorb(candidate);
  }
  return ok_status();
}

void Rounds::absorb(const study::CandidateHistory& today) {
  if (!study::is_done(today.row)) { return; }
  if (today.row.id == dense_) { dense_problem_seconds_ = study::fresh_problem_seconds(today); }
  const auto known = known_.find(today.row.id);
  const study::CandidateHistory candidate = study::as_of(today, known == known_.end() ? study::Known() : known->second);
  standing_.update(candidate);
  evaluator_.learn(candidate);
  const std::vector<study::Point> front = standing_.front();
  session_.change_progress([&](Progress& progress) {
    progress.front = static_cast<int>(front.size());
    progress.best_speed = 1.0;
    for (const study::Point& point : front) {
      progress.best_speed = std::max(progress.best_speed, point.speed.ratio.value);
    }
  });
}

}  // namespace vortex::agent
