#include "agent/loop/search.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/evaluate/evaluator.h"
#include "agent/loop/planner.h"
#include "agent/loop/proposers.h"
#include "agent/session/breaker.h"
#include "agent/session/patient_store.h"
#include "agent/session/session.h"
#include "base/text.h"
#include "study/baseline.h"
#include "study/held_out.h"
#include "study/history.h"
#include "study/racing.h"
#include "study/reproduce.h"
#include "study/retest.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

constexpr int kEmptyBatches = 3;      // in a row: the proposer has nothing new
constexpr int kProspectRounds = 2;    // of retests before a point may become a finalist
constexpr double kFinalsShare = 0.4;  // of the time, for finalists

job::Job dense_job(const study::SearchOptions& options) {
  job::Job job = options.job;
  job.id = "dense";
  job.dense = true;
  return job;
}

// A job that passes on a machine that works.
job::Job canary_job(const study::SearchOptions& options) {
  job::Job job = dense_job(options);
  job.id = "canary";
  job.stages = {job.stages.front()};
  return job;
}

// The loop: propose a batch, evaluate it, race what might change the front, confirm the front, again.
class Search {
 public:
  Search(Session& session, const study::SearchOptions& options, const vflow::ModelGeometry& model, Proposer& proposer,
         const std::vector<Seed>& seeds)
      : session_(session),
        options_(options),
        evaluator_(session, options, canary_job(options)),
        proposer_(proposer),
        proposer_breaker_(session, "proposer"),
        planner_(session.store(), session.run().id, options, model, proposer, seeds),
        standing_(options) {
    planner_.budget = &session.budget();
    planner_.modelled_speed = session.hooks().modelled_speed;
    planner_.on_refused = [this](int64_t candidate, const std::string& origin, const job::StageResult& result) {
      const std::string where = std::string(job::stage_name(result.stage)) + ": ";
      session_.change_progress([](Progress& progress) { ++progress.refused; });
      session_.candidate(
          {candidate, origin, std::string(job::verdict_name(result.verdict)), where + result.message, {}, {}});
    };
  }

  Result<SearchEnd> run() {
    VORTEX_TRY(planner_.load());
    VORTEX_TRY(load_announced());
    VORTEX_TRY(load_batches());
    VORTEX_TRY(climb_dense());
    VORTEX_ASSIGN(const SearchEnd end, search());
    VORTEX_TRY(finals());
    announce();
    VORTEX_TRY(session_.status());
    return session_.stop() != StopLevel::kNone ? SearchEnd::kInterrupted : end;
  }

 private:
  Result<SearchEnd> search() {
    int empty_batches = 0;
    for (int64_t batch = 1; !session_.ended(); ++batch) {
      VORTEX_ASSIGN(const std::vector<Planned> planned, plan_batch(batch));
      if (planned.empty() && !may_propose()) { break; }
      empty_batches = planned.empty() ? empty_batches + 1 : 0;
      if (empty_batches == kEmptyBatches) { return SearchEnd::kExhausted; }
      VORTEX_TRY(evaluate_batch(planned));
      VORTEX_TRY(proposer_.learn(batch));
      if (session_.ended()) { break; }
      VORTEX_TRY(measure_front());
      VORTEX_TRY(race_front());
      VORTEX_TRY(answer_requests(batch));
      if (finals_are_due()) { VORTEX_TRY(finals()); }
      announce();
    }
    return SearchEnd::kBudget;
  }

  bool may_propose() const {
    const Budget& budget = session_.budget();
    return !session_.ended() && budget.may_spend(study::Resource::kEvaluations, 1) &&
           budget.may_spend(study::Resource::kSeconds, evaluator_.expected_seconds(options_.job.stages));
  }

  // --- proposing

  Result<std::vector<Planned>> plan_batch(int64_t batch) {
    session_.change_progress([&](Progress& progress) { progress.batch = batch; });
    std::vector<Planned> planned;
    const std::vector<Parent> passed = parents(false);
    const std::vector<Parent> front = parents(true);
    for (int64_t slot = 0; slot < options_.batch; ++slot) {
      session_.tick();
      VORTEX_ASSIGN(std::optional<Planned> one, plan_slot(batch, slot, front, passed));
      if (!one) { continue; }
      session_.budget().book(study::Resource::kEvaluations, 1);
      policies_.emplace(one->candidate, one->policy);
      if (one->control) { control_.insert(one->candidate); }
      planned.push_back(std::move(*one));
    }
    return planned;
  }

  // A proposer that is down is waited for; what it proposed before is in the rows.
  Result<std::optional<Planned>> plan_slot(int64_t batch, int64_t slot, const std::vector<Parent>& front,
                                           const std::vector<Parent>& passed) {
    for (;;) {
      Result<std::optional<Planned>> one = planner_.plan(batch, slot, front, passed, [this] { return may_propose(); });
      if (one.ok()) {
        proposer_breaker_.worked();
        return one;
      }
      if (one.error().blame != Blame::kEnvironment) { return one; }
      session_.note("environment", {{"what", "proposer"}, {"message", one.error().message}});
      if (!proposer_breaker_.wait(one.error())) { return session_.ended() ? std::optional<Planned>{} : one; }
    }
  }

  // Without those of the control arm: the search must not profit from it, or the two could not be compared.
  std::vector<Parent> parents(bool front_only) const {
    std::vector<Parent> result;
    const std::vector<study::Point> points = front_only ? standing_.front() : standing_.archive().points();
    const std::vector<double> weights = front_only ? standing_.front_probability() : std::vector<double>();
    for (size_t i = 0; i < points.size(); ++i) {
      const auto policy = policies_.find(points[i].candidate);
      if (policy == policies_.end() || control_.contains(points[i].candidate)) {
        continue;  // or dense attention
      }
      result.push_back({points[i].candidate, policy->second, front_only ? weights[i] : points[i].promise});
    }
    return result;
  }

  // --- evaluating

  job::Job job_of(const vflow::PolicySource& source) const {
    job::Job job = options_.job;
    job.module_text = source.module_text;
    job.config_text = source.config_text;
    job.incumbent = incumbent_;
    return job;
  }

  // Dense attention is the first point and what everything is paired with: without it there is no search.
  Status climb_dense() {
    db::Store& store = session_.store();
    db::Candidate row;
    row.run = session_.run().id;
    row.key = row.origin = "dense";
    row.rationale = "the baseline: attends every page";
    row.state = "proposed";
    VORTEX_ASSIGN(dense_, store.add_candidate(row, {}));
    VORTEX_TRY(evaluator_.run({{Assignment::Kind::kClimb, dense_, dense_job(options_), 0, true}}));
    VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(store, dense_));
    if (dense.row.state != "done") {
      return ok_status();  // told to stop, or out of time
    }
    if (dense.row.verdict != "pass") {
      const db::StageRow& last = dense.stages.back();
      VORTEX_TRY(store.set_candidate_state(dense_, "proposed", ""));  // a repaired machine may try again
      return Error{
          blame_from_name(last.blame).value_or(Blame::kInternal),
          "dense attention, the baseline, does not pass: " + last.stage + ": " + last.message,
          "without a baseline nothing can be compared; `vortex show " + std::to_string(dense_) + "` has its log"};
    }
    incumbent_ = study::incumbent_of(dense);
    if (const db::StageRow* race = study::last_stage(dense, "race")) {
      race_problems_ += static_cast<int64_t>(study::outcomes_of(dense, *race).size());
      dense_race_seconds_ = race->seconds;
    }
    VORTEX_TRY(judge_baseline(dense));
    const std::vector<db::StageRow> climb = study::last_climb(dense);
    evaluator_.set_model_hash(model_hash_of(nlohmann::json::parse(climb.back().evidence, nullptr, false)));
    absorb(dense);
    return ok_status();
  }

  // A baseline that tells nothing would let every policy win.
  Status judge_baseline(const study::CandidateHistory& dense) {
    const std::vector<std::string> faults = study::baseline_faults(dense, options_);
    const std::string what = "dense attention, the baseline, tells nothing on this task: " + join(faults, "; ");
    if (!faults.empty() && !options_.accept_baseline) {
      return candidate_error(what + "\nsome of its answers:" + study::sample_answers(dense),
                             "look at the task's length, prompt, chat template and limit of new tokens, or say "
                             "--accept-baseline to search all the same");
    }
    if (!faults.empty()) { session_.message(what + "; it was accepted"); }
    if (const std::string note = study::baseline_note(dense); !note.empty()) { session_.message(note); }
    const db::StageRow* race = study::last_stage(dense, "race");
    if (!options_.confirm || race == nullptr) { return ok_status(); }
    const std::vector<job::Outcome> outcomes = study::outcomes_of(dense, *race);
    const double problems = std::max(1, options_.job.task.problems);
    session_.message(
        study::plan_text(options_, evals::accuracy_interval(outcomes, options_.seed).value, race->seconds / problems));
    return ok_status();
  }

  Status evaluate_batch(const std::vector<Planned>& planned) {
    std::vector<Assignment> tasks;
    for (const Planned& one : planned) {
      sources_.emplace(one.candidate, one.source);
      tasks.push_back({Assignment::Kind::kClimb, one.candidate, job_of(one.source)});
    }
    VORTEX_TRY(evaluator_.run(tasks));
    for (const Planned& one : planned) {
      VORTEX_ASSIGN(const study::CandidateHistory candidate, study::read_candidate(session_.store(), one.candidate));
      absorb(candidate);
      if (candidate.row.state != "done") { continue; }
      const std::string verdict = study::last_climb(candidate).back().verdict;
      if (const db::StageRow* race = study::last_stage(candidate, "race")) {
        race_problems_ += static_cast<int64_t>(study::outcomes_of(candidate, *race).size());
        policy_race_seconds_ = race->seconds;
      }
      session_.change_progress([&](Progress& progress) {
        ++progress.evaluated;
        ++progress.verdicts[verdict];
      });
    }
    return ok_status();
  }

  job::Job retest_job(const study::Retest& retest) const {
    job::Job job = options_.job;
    job.dense = retest.candidate == dense_;
    const auto source = sources_.find(retest.candidate);
    if (source != sources_.end()) {
      job.module_text = source->second.module_text;
      job.config_text = source->second.config_text;
    }
    job.stages = {job::Stage::kRace};
    job.task.seed = study::retest_seed(options_.job.task.seed, retest.round);
    job.task.problems = options_.job.task.problems << (retest.round - 1);
    return job;  // paired here, not in the worker
  }

  // Rounds of further problems, until the front is clear, the rounds are used up, or retests have had their share of
  // all problems answered: first for those that promise a claim, then for those that could change the front. Dense
  // attention answers whatever any of them is asked, so that all stay comparable with it.
  Status race_front() {
    const study::RaceRules rules{std::min(options_.retests, study::kMaxRetests)};
    const int rounds = std::min(rules.max_rounds, kProspectRounds);
    while (!session_.ended()) {
      const study::Archive& archive = standing_.archive();
      std::vector<study::Retest> wanted = study::retests_of_prospects(archive, study::sequence_rules(options_), rounds);
      if (wanted.empty()) { wanted = study::retests(archive, rules); }
      std::vector<Assignment> tasks;
      for (const study::Retest& retest : wanted) {
        job::Job job = retest_job(retest);
        const int64_t problems = int64_t{job.task.problems} * job.task.trials;
        const auto share = static_cast<double>(retest_problems_ + problems) / static_cast<double>(race_problems_);
        if (share > options_.retest_share) { continue; }
        if (retest.candidate != dense_) { retest_problems_ += problems; }
        tasks.push_back({Assignment::Kind::kRetest, retest.candidate, std::move(job), retest.round});
      }
      if (tasks.empty()) { return ok_status(); }
      add_dense_retests(tasks);
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
  void add_dense_retests(std::vector<Assignment>& tasks) {
    int last = 0;
    for (const Assignment& task : tasks) { last = std::max(last, task.round); }
    std::vector<Assignment> all;
    for (int round = known_[dense_].retests + 1; round <= last; ++round) {
      all.push_back({Assignment::Kind::kRetest, dense_, retest_job({dense_, round}), round});
    }
    std::erase_if(tasks, [this](const Assignment& task) { return task.candidate == dense_; });
    all.insert(all.end(), tasks.begin(), tasks.end());
    tasks = std::move(all);
  }

  // --- measuring speed again

  // What all samples of one process share is seen only by further processes. Candidates take turns, so that what
  // changes on the machine meets all of them.
  Status measure(const std::vector<int64_t>& candidates) {
    if (options_.rank_speed == study::RankSpeed::kModelled) { return ok_status(); }
    for (int run = 2; run <= std::min(options_.speed_runs, study::kMaxSpeedRuns) && !session_.ended(); ++run) {
      std::vector<Assignment> tasks;
      for (const int64_t candidate : candidates) {
        const auto source = sources_.find(candidate);
        if (source == sources_.end() || known_[candidate].speed_runs >= run) { continue; }
        job::Job job = job_of(source->second);
        job.stages = {job::Stage::kSpeed};
        tasks.push_back({Assignment::Kind::kSpeed, candidate, std::move(job), run});
      }
      VORTEX_TRY(evaluator_.run(tasks));
      if (session_.ended()) { return ok_status(); }
      for (const Assignment& task : tasks) { known_[task.candidate].speed_runs = run; }
      VORTEX_TRY(absorb_all(tasks));
    }
    return ok_status();
  }

  Status measure_front() {
    const auto is_measured = [this](int64_t candidate) {
      return !sources_.contains(candidate) || known_[candidate].speed_runs >= options_.speed_runs;
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

  // What people asked for (the dashboard writes it), one at a time at the end of a batch. Where it was taken up is
  // kept: a resumed search answers it at the same place, and takes up nothing new before it is past its old batches.
  Status answer_requests(int64_t batch) {
    VORTEX_ASSIGN(std::vector<db::Request> requests, session_.store().requests(session_.run().id));
    for (db::Request& request : requests) {
      if (session_.ended()) { return ok_status(); }
      if (request.batch == 0 && batch >= known_batches_) {
        VORTEX_TRY(session_.store().take_request(request.id, batch));
        request.batch = batch;
      }
      if (request.batch != batch) { continue; }
      VORTEX_ASSIGN(const std::string result, answer(request));
      if (session_.ended()) { return ok_status(); }
      if (request.ended == 0) { VORTEX_TRY(session_.store().end_request(request.id, result)); }
    }
    return ok_status();
  }

  // What came of a request, in words; whatever, when the session ended meanwhile.
  Result<std::string> answer(const db::Request& request) {
    const auto source = sources_.find(request.candidate);
    if (source == sources_.end()) { return std::string("refused: it is no candidate that can be run"); }
    return request.kind == "confirm" ? answer_confirm(request.candidate) : answer_retest(request.candidate);
  }

  Result<std::string> answer_confirm(int64_t candidate) {
    const study::SequenceRules rules = study::sequence_rules(options_);
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

  Result<std::string> answer_retest(int64_t candidate) {
    const int round = known_[candidate].retests + 1;
    if (round > study::kMaxRetests) { return std::string("refused: it has answered every round"); }
    // Dense attention answers the same problems, so that the two stay paired.
    std::vector<Assignment> tasks = {
        {Assignment::Kind::kRetest, candidate, retest_job({candidate, round}), round, true}};
    add_dense_retests(tasks);
    for (const Assignment& task : tasks) {
      VORTEX_TRY(evaluator_.run({task}));
      if (session_.ended()) { return std::string(); }
      known_[task.candidate].retests = task.round;
      VORTEX_TRY(absorb_all({task}));
    }
    VORTEX_ASSIGN(const study::CandidateHistory history, study::read_candidate(session_.store(), candidate));
    const std::string stage = study::retest_stage(round);
    const db::StageRow* row = study::last_stage(history, stage);
    if (row == nullptr) { return stage + " was not run"; }
    return stage + ": " + row->verdict + (row->message.empty() ? "" : ", " + row->message);
  }

  // --- claims

  // Is what is left of the time about what finalists need? Half of the held-out problems, for dense attention and for
  // two finalists, is what they answered on average (docs/benchmarks/selection.md).
  bool finals_are_due() const {
    if (options_.seconds <= 0 || !options_.confirm) { return false; }
    const double problems = study::sequence_rules(options_).problems;
    const double each = (dense_race_seconds_ + policy_race_seconds_) / std::max(1, options_.job.task.problems);
    const double batch = evaluator_.expected_seconds(options_.job.stages) * options_.batch;
    const double needed = std::min(problems / 2 * each, kFinalsShare * options_.seconds) + batch;
    return options_.seconds - session_.budget().used(study::Resource::kSeconds) < needed;
  }

  // Finalists answer held-out problems in the order that the search's own problems fixed, each in rounds until it is
  // clear what can be said of it. What they answer decides nothing but what is claimed.
  Status finals() {
    const study::SequenceRules rules = study::sequence_rules(options_);
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
  Result<bool> ask_finalist(study::Finalist& finalist, const study::SequenceRules& rules) {
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

  Status answer_held_out(int64_t candidate, int round) {
    std::optional<job::Job> job = study::held_out_job(options_, round);
    if (!job || session_.ended()) { return ok_status(); }
    job->dense = candidate == dense_;
    const auto source = sources_.find(candidate);
    if (source != sources_.end()) {
      job->module_text = source->second.module_text;
      job->config_text = source->second.config_text;
      VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(session_.store(), dense_));
      job->incumbent = study::held_out_outcomes(dense);
    }
    return evaluator_.run({{Assignment::Kind::kConfirm, candidate, std::move(*job), round, true}});
  }

  Status absorb_all(const std::vector<Assignment>& tasks) {
    for (const Assignment& task : tasks) {
      VORTEX_ASSIGN(const study::CandidateHistory candidate, study::read_candidate(session_.store(), task.candidate));
      absorb(candidate);
    }
    return ok_status();
  }

  // Takes one candidate's rows into the standing. Candidates are absorbed in slot order, whatever order they ended in.
  void absorb(const study::CandidateHistory& today) {
    if (today.row.state != "done") { return; }
    const study::CandidateHistory candidate = study::as_of(today, known_[today.row.id]);
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

  // --- telling

  Status load_announced() {
    VORTEX_ASSIGN(const std::vector<db::Event> events, session_.store().events(session_.run().id));
    for (const db::Event& event : events) {
      if (event.kind != "front") { continue; }
      const auto detail = nlohmann::json::parse(event.detail, nullptr, false);
      announced_.insert(detail.value("candidate", int64_t{0}));
    }
    return ok_status();
  }

  // Batches that this search has been through before, when it is resumed.
  Status load_batches() {
    VORTEX_ASSIGN(const std::vector<db::Candidate> rows, session_.store().candidates(session_.run().id));
    if (!rows.empty()) { known_batches_ = rows.back().batch; }
    return ok_status();
  }

  // New members of the front, once each, when they have passed all that there is to pass.
  void announce() {
    if (session_.ended()) { return; }
    for (const study::Point& point : standing_.front()) {
      if (point.candidate == dense_ || !announced_.insert(point.candidate).second) { continue; }
      session_.note("front",
                    {{"candidate", point.candidate},
                     {"accuracy", {point.accuracy.value, point.accuracy.lo, point.accuracy.hi}},
                     {"speed_over_dense", {point.speed.ratio.value, point.speed.ratio.lo, point.speed.ratio.hi}},
                     {"confirmed", known_[point.candidate].confirmed}});
    }
  }

  Session& session_;
  const study::SearchOptions& options_;
  Evaluator evaluator_;
  Proposer& proposer_;
  Breaker proposer_breaker_;
  Planner planner_;
  study::Standing standing_;

  int64_t dense_ = 0;
  std::vector<job::Outcome> incumbent_;
  std::map<int64_t, vflow::Policy> policies_;
  std::map<int64_t, vflow::PolicySource> sources_;
  std::set<int64_t> control_;
  std::map<int64_t, study::Known> known_;     // beside each candidate's climb
  std::vector<job::Outcome> held_out_dense_;  // what dense attention answered of the rounds so far
  std::set<int64_t> announced_;
  int64_t known_batches_ = 0;
  int64_t race_problems_ = 0;  // answered by races and by retests, trials counted
  int64_t retest_problems_ = 0;
  double dense_race_seconds_ = 0;   // prompts included: nobody had computed them before
  double policy_race_seconds_ = 0;  // of the last candidate
};

std::string state_after(const Result<SearchEnd>& end) {
  if (!end.ok()) { return end.error().blame == Blame::kEnvironment ? "interrupted" : "failed"; }
  return *end == SearchEnd::kInterrupted ? "interrupted" : "finished";
}

std::string_view end_name(SearchEnd end) {
  switch (end) {
    case SearchEnd::kBudget:
      return "budget";
    case SearchEnd::kExhausted:
      return "exhausted";
    case SearchEnd::kInterrupted:
      return "interrupted";
  }
  return "";
}

// Writes how the session ended. Best effort where the store is what broke.
Status write_end(db::Store& store, const db::Run& run, const Result<SearchEnd>& end, const SearchHooks& hooks) {
  nlohmann::json detail = nlohmann::json::object();
  if (end.ok()) { detail["end"] = end_name(*end); }
  if (!end.ok()) { detail = {{"blame", blame_name(end.error().blame)}, {"message", end.error().message}}; }
  const std::string state = state_after(end);
  const Status noted = store.add_event(run.id, state, detail.dump());
  const Status stated = store.set_run_state(run.id, state);
  if (hooks.on_event) { hooks.on_event(state, detail); }
  VORTEX_TRY(noted);
  return stated;
}

Result<SearchEnd> sit(db::Store& store, const db::Run& run, const study::SearchOptions& options,
                      const vflow::ModelGeometry& model, const SearchHooks& hooks, Proposer& proposer,
                      const std::vector<Seed>& seeds) {
  Session session(store, run, options, hooks);
  VORTEX_TRY(session.load());
  const Result<SearchEnd> end = Search(session, options, model, proposer, seeds).run();
  const Status last_beat = session.budget().heartbeat(0);
  if (!end.ok()) {
    return end;  // the first failure is the one to tell
  }
  VORTEX_TRY(last_beat);
  return end;
}

// A disk that is full is waited for, as long as the wall clock lasts.
PatientStore::Hooks patience_of(db::Store& store, const db::Run& run, const study::SearchOptions& options,
                                const SearchHooks& hooks) {
  const double end = options.seconds > 0 ? hooks.clock() + options.seconds - run.seconds_used : HUGE_VAL;
  PatientStore::Hooks patience;
  patience.sleep = hooks.sleep;
  patience.must_stop = [&hooks, end] { return hooks.stop() == StopLevel::kKill || hooks.clock() >= end; };
  patience.on_fault = [&hooks](const Error& error) {
    if (hooks.on_message) { hooks.on_message("the store is waited for: " + error.message); }
  };
  patience.on_recovered = [&store, id = run.id](double seconds) {
    const nlohmann::json detail = {{"what", "store"}, {"seconds", seconds}};
    (void)store.add_event(id, "breaker-closed", detail.dump());  // a note, no more
  };
  return patience;
}

}  // namespace

Result<SearchEnd> run_search(db::Store& store, const db::Run& run, const study::SearchOptions& options,
                             const vflow::ModelGeometry& model, const SearchHooks& hooks) {
  PatientStore patient(store, patience_of(store, run, options, hooks));
  ProposerSetup setup{&patient, run.id, &options, {}, hooks.on_message, hooks.sleep};
  setup.should_stop = [&] { return hooks.stop() != StopLevel::kNone; };
  VORTEX_ASSIGN(const std::unique_ptr<Proposer> proposer, make_proposer(options.proposer, setup));
  std::vector<Seed> seeds = builtin_seeds();
  if (!options.seeds_folder.empty()) { VORTEX_ASSIGN(seeds, load_seeds(options.seeds_folder)); }
  VORTEX_ASSIGN(const std::vector<db::Candidate> before, store.candidates(run.id));
  VORTEX_TRY(store.set_run_state(run.id, "running"));
  VORTEX_TRY(store.add_event(run.id, before.empty() ? "started" : "resumed", "{}"));

  Proposer& asked = hooks.proposer != nullptr ? *hooks.proposer : *proposer;
  const Result<SearchEnd> end = sit(patient, run, options, model, hooks, asked, seeds);
  const Status written = write_end(store, run, end, hooks);
  if (!end.ok()) {
    return end;  // the first failure is the one to tell
  }
  VORTEX_TRY(written);
  return end;
}

}  // namespace vortex::agent
