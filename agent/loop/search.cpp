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
#include "study/history.h"
#include "study/racing.h"
#include "study/reproduce.h"
#include "study/retest.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

constexpr int kEmptyBatches = 3;  // in a row: the proposer has nothing new

job::Job dense_job(const study::SearchOptions& options) {
  job::Job job = options.job;
  job.id = "dense";
  job.dense = true;
  if (options.confirm) job.stages.push_back(job::Stage::kConfirm);
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
        standing_(options.rank_speed, options.seed) {
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
    int empty_batches = 0;
    for (int64_t batch = 1; !session_.ended(); ++batch) {
      VORTEX_ASSIGN(const std::vector<Planned> planned, plan_batch(batch));
      if (planned.empty() && !may_propose()) break;
      empty_batches = planned.empty() ? empty_batches + 1 : 0;
      if (empty_batches == kEmptyBatches) return SearchEnd::kExhausted;
      VORTEX_TRY(evaluate_batch(planned));
      VORTEX_TRY(proposer_.learn(batch));
      if (session_.ended()) break;
      VORTEX_TRY(race_front());
      VORTEX_TRY(confirm_front());
      VORTEX_TRY(answer_requests(batch));
      announce();
    }
    VORTEX_TRY(session_.status());
    return session_.stop() != StopLevel::kNone ? SearchEnd::kInterrupted : SearchEnd::kBudget;
  }

 private:
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
      if (!one) continue;
      session_.budget().book(study::Resource::kEvaluations, 1);
      policies_.emplace(one->candidate, one->policy);
      if (one->control) control_.insert(one->candidate);
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
      if (one.error().blame != Blame::kEnvironment) return one;
      session_.note("environment", {{"what", "proposer"}, {"message", one.error().message}});
      if (!proposer_breaker_.wait(one.error())) return session_.ended() ? std::optional<Planned>{} : one;
    }
  }

  // Without those of the control arm: the search must not profit from it, or the two could not be compared.
  std::vector<Parent> parents(bool front_only) const {
    std::vector<Parent> result;
    const std::vector<study::Point> points = front_only ? standing_.front() : standing_.archive().points();
    const std::vector<double> weights = front_only ? standing_.front_probability() : std::vector<double>();
    for (size_t i = 0; i < points.size(); ++i) {
      const auto policy = policies_.find(points[i].candidate);
      if (policy == policies_.end() || control_.contains(points[i].candidate)) continue;  // or dense attention
      result.push_back({points[i].candidate, policy->second, front_only ? weights[i] : 0.0});
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
    if (dense.row.state != "done") return ok_status();  // told to stop, or out of time
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
    }
    const std::vector<db::StageRow> climb = study::last_climb(dense);
    evaluator_.set_model_hash(model_hash_of(nlohmann::json::parse(climb.back().evidence, nullptr, false)));
    absorb(dense);
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
      if (candidate.row.state != "done") continue;
      const std::string verdict = study::last_climb(candidate).back().verdict;
      if (const db::StageRow* race = study::last_stage(candidate, "race")) {
        race_problems_ += static_cast<int64_t>(study::outcomes_of(candidate, *race).size());
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

  // Rounds of further problems for those points that could change the front, until it is clear, the rounds are used up,
  // or retests have had their share of all problems answered.
  Status race_front() {
    const study::RaceRules rules{std::min(options_.retests, study::kMaxRetests)};
    while (!session_.ended()) {
      std::vector<Assignment> tasks;
      for (const study::Retest& retest : study::retests(standing_.archive(), rules)) {
        job::Job job = retest_job(retest);
        const int64_t problems = int64_t{job.task.problems} * job.task.trials;
        const auto share = static_cast<double>(retest_problems_ + problems) / static_cast<double>(race_problems_);
        if (share > options_.retest_share) break;
        retest_problems_ += problems;
        tasks.push_back({Assignment::Kind::kRetest, retest.candidate, std::move(job), retest.round});
      }
      if (tasks.empty()) return ok_status();
      VORTEX_TRY(evaluator_.run(tasks));
      if (session_.ended()) return ok_status();  // a part of a round must decide nothing
      for (const Assignment& task : tasks) rounds_[task.candidate] = task.round;
      VORTEX_TRY(absorb_all(tasks));
    }
    return ok_status();
  }

  // Members of the front prove themselves on held-out problems before anything is bred from them.
  Status confirm_front() {
    while (options_.confirm && !session_.ended()) {
      std::vector<Assignment> tasks;
      for (const study::Point& point : standing_.front()) {
        const auto source = sources_.find(point.candidate);
        if (source == sources_.end() || confirmed_.contains(point.candidate)) continue;
        job::Job job = job_of(source->second);
        job.stages = {job::Stage::kConfirm};
        tasks.push_back({Assignment::Kind::kConfirm, point.candidate, std::move(job), 0, true});
      }
      if (tasks.empty()) return ok_status();
      VORTEX_TRY(evaluator_.run(tasks));
      if (session_.ended()) return ok_status();
      for (const Assignment& task : tasks) confirmed_.insert(task.candidate);
      VORTEX_TRY(absorb_all(tasks));
    }
    return ok_status();
  }

  // What people asked for (the dashboard writes it), one at a time at the end of a batch. Where it was taken up is
  // kept: a resumed search answers it at the same place, and takes up nothing new before it is past its old batches.
  Status answer_requests(int64_t batch) {
    VORTEX_ASSIGN(std::vector<db::Request> requests, session_.store().requests(session_.run().id));
    for (db::Request& request : requests) {
      if (session_.ended()) return ok_status();
      if (request.batch == 0 && batch >= known_batches_) {
        VORTEX_TRY(session_.store().take_request(request.id, batch));
        request.batch = batch;
      }
      if (request.batch != batch) continue;
      VORTEX_ASSIGN(const std::string result, answer(request));
      if (session_.ended()) return ok_status();
      if (request.ended == 0) VORTEX_TRY(session_.store().end_request(request.id, result));
    }
    return ok_status();
  }

  // What came of a request, in words; whatever, when the session ended meanwhile.
  Result<std::string> answer(const db::Request& request) {
    const bool confirm = request.kind == "confirm";
    const auto source = sources_.find(request.candidate);
    if (source == sources_.end()) return std::string("refused: it is no candidate that can be run");
    if (confirm && confirmed_.contains(request.candidate))
      return std::string("it was asked on held-out problems before");
    const int round = rounds_[request.candidate] + 1;
    if (!confirm && round > study::kMaxRetests) return std::string("refused: it has answered every round");
    std::vector<Assignment> tasks;
    if (confirm) {
      job::Job job = job_of(source->second);
      job.stages = {job::Stage::kConfirm};
      tasks.push_back({Assignment::Kind::kConfirm, request.candidate, std::move(job), 0, true});
    } else {
      // Dense attention answers the same problems, so that the two stay paired.
      for (int dense_round = rounds_[dense_] + 1; dense_round <= round; ++dense_round) {
        tasks.push_back({Assignment::Kind::kRetest, dense_, retest_job({dense_, dense_round}), dense_round, true});
      }
      tasks.push_back(
          {Assignment::Kind::kRetest, request.candidate, retest_job({request.candidate, round}), round, true});
    }
    for (const Assignment& task : tasks) {
      VORTEX_TRY(evaluator_.run({task}));
      if (session_.ended()) return std::string();
      if (task.kind == Assignment::Kind::kConfirm) confirmed_.insert(task.candidate);
      if (task.kind == Assignment::Kind::kRetest) rounds_[task.candidate] = task.round;
      VORTEX_TRY(absorb_all({task}));
    }
    VORTEX_ASSIGN(const study::CandidateHistory candidate, study::read_candidate(session_.store(), request.candidate));
    const std::string stage = confirm ? "confirm" : study::retest_stage(round);
    const db::StageRow* row = study::last_stage(candidate, stage);
    if (row == nullptr) return stage + " was not run";
    return stage + ": " + row->verdict + (row->message.empty() ? "" : ", " + row->message);
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
    if (today.row.state != "done") return;
    const study::CandidateHistory candidate =
        study::as_of(today, rounds_[today.row.id], today.row.id == dense_ || confirmed_.contains(today.row.id));
    standing_.update(candidate);
    evaluator_.learn(candidate);
    const std::vector<study::Point> front = standing_.front();
    session_.change_progress([&](Progress& progress) {
      progress.front = static_cast<int>(front.size());
      progress.best_speed = 1.0;
      for (const study::Point& point : front) progress.best_speed = std::max(progress.best_speed, point.speed.value);
    });
  }

  // --- telling

  Status load_announced() {
    VORTEX_ASSIGN(const std::vector<db::Event> events, session_.store().events(session_.run().id));
    for (const db::Event& event : events) {
      if (event.kind != "front") continue;
      const auto detail = nlohmann::json::parse(event.detail, nullptr, false);
      announced_.insert(detail.value("candidate", int64_t{0}));
    }
    return ok_status();
  }

  // Batches that this search has been through before, when it is resumed.
  Status load_batches() {
    VORTEX_ASSIGN(const std::vector<db::Candidate> rows, session_.store().candidates(session_.run().id));
    if (!rows.empty()) known_batches_ = rows.back().batch;
    return ok_status();
  }

  // New members of the front, once each, when they have passed all that there is to pass.
  void announce() {
    if (session_.ended()) return;
    for (const study::Point& point : standing_.front()) {
      if (point.candidate == dense_ || !announced_.insert(point.candidate).second) continue;
      session_.note("front", {{"candidate", point.candidate},
                              {"accuracy", {point.accuracy.value, point.accuracy.lo, point.accuracy.hi}},
                              {"speed_over_dense", {point.speed.value, point.speed.lo, point.speed.hi}},
                              {"confirmed", confirmed_.contains(point.candidate)}});
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
  std::set<int64_t> confirmed_;    // asked on held-out problems, with whatever result
  std::map<int64_t, int> rounds_;  // of retests that are answered
  std::set<int64_t> announced_;
  int64_t known_batches_ = 0;
  int64_t race_problems_ = 0;  // answered by races and by retests, trials counted
  int64_t retest_problems_ = 0;
};

std::string state_after(const Result<SearchEnd>& end) {
  if (!end.ok()) return end.error().blame == Blame::kEnvironment ? "interrupted" : "failed";
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
  if (end.ok()) detail["end"] = end_name(*end);
  if (!end.ok()) detail = {{"blame", blame_name(end.error().blame)}, {"message", end.error().message}};
  const std::string state = state_after(end);
  const Status noted = store.add_event(run.id, state, detail.dump());
  const Status stated = store.set_run_state(run.id, state);
  if (hooks.on_event) hooks.on_event(state, detail);
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
  if (!end.ok()) return end;  // the first failure is the one to tell
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
    if (hooks.on_message) hooks.on_message("the store is waited for: " + error.message);
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
  if (!options.seeds_folder.empty()) {
    VORTEX_ASSIGN(seeds, load_seeds(options.seeds_folder));
  }
  VORTEX_ASSIGN(const std::vector<db::Candidate> before, store.candidates(run.id));
  VORTEX_TRY(store.set_run_state(run.id, "running"));
  VORTEX_TRY(store.add_event(run.id, before.empty() ? "started" : "resumed", "{}"));

  Proposer& asked = hooks.proposer != nullptr ? *hooks.proposer : *proposer;
  const Result<SearchEnd> end = sit(patient, run, options, model, hooks, asked, seeds);
  const Status written = write_end(store, run, end, hooks);
  if (!end.ok()) return end;  // the first failure is the one to tell
  VORTEX_TRY(written);
  return end;
}

}  // namespace vortex::agent
