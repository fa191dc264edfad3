#include "agent/search.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/budget.h"
#include "agent/history.h"
#include "agent/planner.h"
#include "agent/pool.h"
#include "agent/standing.h"

namespace vortex::agent {
namespace {

constexpr double kHeartbeat = 1.0;   // seconds
constexpr double kPauseSlice = 0.1;  // seconds between looks at stop requests while pausing
constexpr int kEmptyBatches = 3;     // in a row: the proposer has nothing new
constexpr int kInternalFaults = 5;   // in a row: a night of them would be wasted

// The verdict that a candidate's rows already hold, for one whose verdict was not written before a crash; else empty.
std::string verdict_in_rows(const CandidateHistory& candidate, evals::Stage last) {
  const std::vector<db::StageRow> climb = last_climb(candidate);
  if (climb.empty()) return {};
  const db::StageRow& row = climb.back();
  if (row.blame == "environment") return {};
  if (row.verdict == "pass" && row.stage != evals::stage_name(last)) return {};
  return row.verdict;
}

// Which model a result was measured on; empty when it does not say (a worker that died).
std::string model_hash_of(const nlohmann::json& evidence) {
  const bool says = evidence.is_object() && evidence.contains("model_hash") && evidence["model_hash"].is_string();
  return says ? evidence["model_hash"].get<std::string>() : std::string();
}

Limits limits_of(const SearchOptions& options) {
  return {{Resource::kSeconds, options.seconds},
          {Resource::kGpuSeconds, options.gpu_seconds},
          {Resource::kEvaluations, options.max_evals},
          {Resource::kTokens, options.max_tokens},
          {Resource::kDollars, options.max_dollars}};
}

struct Task {
  int64_t candidate = 0;
  evals::Job job;
};

class Search {
 public:
  Search(db::Store& store, const db::Run& run, const SearchOptions& options, const vflow::ModelGeometry& model,
         const SearchHooks& hooks, Proposer& proposer, const std::vector<Seed>& seeds)
      : store_(store),
        run_(run),
        options_(options),
        hooks_(hooks),
        budget_(store, run, limits_of(options), options.gpus, hooks.clock),
        proposer_(proposer),
        planner_(store, run.id, options, model, proposer, seeds),
        standing_(options.rank_speed, options.seed) {
    planner_.budget = &budget_;
    planner_.modelled_speed = hooks.modelled_speed;
    planner_.on_refused = [this](int64_t candidate, const std::string& origin, const evals::StageResult& result) {
      const std::string where = std::string(evals::stage_name(result.stage)) + ": ";
      show({candidate, origin, std::string(evals::verdict_name(result.verdict)), where + result.message, {}, {}});
    };
  }

  Result<SearchEnd> run() {
    VORTEX_TRY(planner_.load());
    VORTEX_TRY(budget_.load());
    VORTEX_TRY(read_stop_requests());
    VORTEX_TRY(climb_dense());
    int empty_batches = 0;
    for (int64_t batch = 1; !ended(); ++batch) {
      VORTEX_ASSIGN(const std::vector<Planned> planned, plan_batch(batch));
      if (planned.empty() && !may_propose()) break;
      empty_batches = planned.empty() ? empty_batches + 1 : 0;
      if (empty_batches == kEmptyBatches) return SearchEnd::kExhausted;
      VORTEX_TRY(evaluate_batch(planned));
      VORTEX_TRY(proposer_.learn(batch));
      if (ended()) break;
      VORTEX_TRY(confirm_front());
    }
    return stop_ != StopLevel::kNone ? SearchEnd::kInterrupted : SearchEnd::kBudget;
  }

  // The last heartbeat.
  Status close() { return budget_.heartbeat(0); }

 private:
  bool ended() const { return unfinished_ || stop_ != StopLevel::kNone || budget_.expired(); }

  bool may_propose() const {
    if (ended() || !budget_.may_spend(Resource::kSeconds, typical_seconds())) return false;
    return budget_.may_spend(Resource::kEvaluations, 1);
  }

  double typical_seconds() const { return passes_ > 0 ? pass_seconds_ / passes_ : 0.0; }

  // --- proposing

  Result<std::vector<Planned>> plan_batch(int64_t batch) {
    progress_.batch = batch;
    std::vector<Planned> planned;
    const std::vector<Parent> passed = parents(false);
    const std::vector<Parent> front = parents(true);
    for (int64_t slot = 0; slot < options_.batch; ++slot) {
      tick();
      VORTEX_ASSIGN(std::optional<Planned> one,
                    planner_.plan(batch, slot, front, passed, [this] { return may_propose(); }));
      if (!one) continue;
      budget_.book(Resource::kEvaluations, 1);
      policies_.emplace(one->candidate, one->policy);
      planned.push_back(std::move(*one));
    }
    return planned;
  }

  std::vector<Parent> parents(bool front_only) const {
    std::vector<Parent> result;
    const std::vector<Point> points = front_only ? standing_.front() : standing_.archive().points();
    const std::vector<double> weights = front_only ? standing_.front_probability() : std::vector<double>();
    for (size_t i = 0; i < points.size(); ++i) {
      const auto policy = policies_.find(points[i].candidate);
      if (policy == policies_.end()) continue;  // dense attention
      result.push_back({points[i].candidate, policy->second, front_only ? weights[i] : 0.0});
    }
    return result;
  }

  // --- evaluating

  evals::Job dense_job() const {
    evals::Job job = options_.job;
    job.id = "dense";
    job.dense = true;
    if (options_.confirm) job.stages.push_back(evals::Stage::kConfirm);
    return job;
  }

  evals::Job canary() const {
    evals::Job job = dense_job();
    job.id = "canary";
    job.stages = {job.stages.front()};
    return job;
  }

  evals::Job job_of(const vflow::PolicySource& source) const {
    evals::Job job = options_.job;
    job.module_text = source.module_text;
    job.config_text = source.config_text;
    job.incumbent = incumbent_;
    return job;
  }

  // Dense attention is the first point and what everything is paired with: without it there is no search.
  Status climb_dense() {
    db::Candidate row;
    row.run = run_.id;
    row.key = row.origin = "dense";
    row.rationale = "the baseline: attends every page";
    row.state = "proposed";
    VORTEX_ASSIGN(const int64_t id, store_.add_candidate(row, {}));
    VORTEX_TRY(evaluate({{id, dense_job()}}, true));
    VORTEX_ASSIGN(const CandidateHistory dense, read_candidate(store_, id));
    if (dense.row.state != "done") return ok_status();  // told to stop, or out of time
    if (dense.row.verdict != "pass") {
      const db::StageRow& last = dense.stages.back();
      VORTEX_TRY(store_.set_candidate_state(id, "proposed", ""));  // a repaired machine may try again
      return Error{blame_from_name(last.blame).value_or(Blame::kInternal),
                   "dense attention, the baseline, does not pass: " + last.stage + ": " + last.message,
                   "without a baseline nothing can be compared; `vortex show " + std::to_string(id) + "` has its log"};
    }
    for (const char* stage : {"gate", "race", "confirm"}) {
      const db::StageRow* stage_row = last_stage(dense, stage);
      if (stage_row == nullptr) continue;
      const std::vector<evals::Outcome> outcomes = outcomes_of(dense, *stage_row);
      incumbent_.insert(incumbent_.end(), outcomes.begin(), outcomes.end());
    }
    model_hash_ = model_hash_of(nlohmann::json::parse(dense.stages.back().evidence, nullptr, false));
    absorb(dense);
    return ok_status();
  }

  Status evaluate_batch(const std::vector<Planned>& planned) {
    std::vector<Task> tasks;
    for (const Planned& one : planned) {
      sources_.emplace(one.candidate, one.source);
      tasks.push_back({one.candidate, job_of(one.source)});
    }
    VORTEX_TRY(evaluate(tasks, false));
    for (const Planned& one : planned) {
      VORTEX_ASSIGN(const CandidateHistory candidate, read_candidate(store_, one.candidate));
      absorb(candidate);
      if (candidate.row.state == "done") count(candidate.row.verdict);
    }
    return ok_status();
  }

  // Members of the front prove themselves on held-out problems before anything is bred from them.
  Status confirm_front() {
    while (options_.confirm && !ended()) {
      std::vector<Task> tasks;
      for (const Point& point : standing_.front()) {
        const auto source = sources_.find(point.candidate);
        if (source == sources_.end() || confirmed_.contains(point.candidate)) continue;
        evals::Job job = job_of(source->second);
        job.stages = {evals::Stage::kConfirm};
        tasks.push_back({point.candidate, std::move(job)});
      }
      if (tasks.empty()) return ok_status();
      VORTEX_TRY(evaluate(tasks, true));
      for (const Task& task : tasks) {
        VORTEX_ASSIGN(const CandidateHistory candidate, read_candidate(store_, task.candidate));
        absorb(candidate);
      }
    }
    return ok_status();
  }

  // Takes one candidate's rows into the standing. Candidates are absorbed in slot order, whatever order they ended in.
  void absorb(const CandidateHistory& candidate) {
    if (candidate.row.state != "done") return;
    if (last_stage(candidate, "confirm") != nullptr) confirmed_.insert(candidate.row.id);
    standing_.update(candidate);
    if (candidate.row.verdict == "pass") {
      for (const db::StageRow& stage : last_climb(candidate)) pass_seconds_ += stage.seconds;
      passes_ += 1;
    }
    progress_.front = static_cast<int>(standing_.archive().front().size());
    progress_.best_speed = 1.0;
    for (const Point& point : standing_.front()) {
      progress_.best_speed = std::max(progress_.best_speed, point.speed.value);
    }
  }

  // Runs tasks on the worker threads; those that have a verdict already are left alone.
  Status evaluate(const std::vector<Task>& all, bool needed) {
    std::vector<Task> tasks;
    for (const Task& task : all) {
      VORTEX_ASSIGN(const bool pending, is_pending(task));
      if (pending) tasks.push_back(task);
    }
    const auto may_start = [&](size_t) {
      const std::lock_guard guard(mutex_);
      const bool start = status_.ok() && stop_ == StopLevel::kNone && !budget_.expired() &&
                         (needed || budget_.may_spend(Resource::kSeconds, typical_seconds()));
      unfinished_ = unfinished_ || !start;
      return start;
    };
    run_pool(
        tasks.size(), options_.workers, may_start, [&](size_t i) { work(tasks[i]); }, [this] { tick(); });
    tick();
    return status_;
  }

  Result<bool> is_pending(const Task& task) {
    VORTEX_ASSIGN(const CandidateHistory candidate, read_candidate(store_, task.candidate));
    const bool confirms_only = task.job.stages == std::vector{evals::Stage::kConfirm};
    if (confirms_only) return last_stage(candidate, "confirm") == nullptr;
    if (candidate.row.state == "done") return false;
    const std::string verdict = verdict_in_rows(candidate, task.job.stages.back());
    if (verdict.empty() || (task.job.dense && verdict != "pass")) return true;  // the baseline may try again
    VORTEX_TRY(store_.set_candidate_state(task.candidate, "done", verdict));
    return false;
  }

  void work(const Task& task) {
    EvaluatorHooks hooks;
    hooks.run_job = hooks_.run_job;
    hooks.should_stop = [this] { return stop_ == StopLevel::kKill || budget_.expired() || model_changed_; };
    hooks.pause = [&](double seconds) {
      for (double slept = 0; slept < seconds && !hooks.should_stop(); slept += kPauseSlice) hooks_.sleep(kPauseSlice);
    };
    hooks.on_result = [this, &task](int64_t candidate, const evals::StageResult& result) {
      const std::lock_guard guard(mutex_);
      progress_.running[candidate] = evals::stage_name(result.stage);
      if (!task.job.dense) check_model(result);
      if (result.blame == Blame::kEnvironment) note(environment_event(candidate, result));
    };
    {
      const std::lock_guard guard(mutex_);
      progress_.running[task.candidate] = "";
    }
    const Climb end = climb(store_, task.candidate, task.job, canary(), hooks);
    const std::lock_guard guard(mutex_);
    progress_.running.erase(task.candidate);
    conclude(task, end);
  }

  // What the end of one climb means for the search. Holds mutex_.
  void conclude(const Task& task, const Climb& end) {
    if (end.end == Climb::End::kStopped) {
      unfinished_ = true;
      return;
    }
    if (end.end == Climb::End::kBroken) {
      fail({end.error.blame, end.error.message,
            end.error.hint.empty() ? "`vortex doctor` looks for the cause" : end.error.hint});
      return;
    }
    internal_faults_ = end.verdict != "pass" && end.blame == Blame::kInternal ? internal_faults_ + 1 : 0;
    if (internal_faults_ == kInternalFaults) {
      fail(internal_error("the last " + std::to_string(kInternalFaults) +
                          " candidates met faults of this program: " + end.error.message));
    }
    const auto candidate = read_candidate(store_, task.candidate);
    if (!candidate.ok()) return fail(candidate.error());
    CandidateSummary summary{task.candidate, candidate->row.origin, end.verdict, end.error.message, {}, {}};
    if (const auto point = point_of(*candidate, options_.rank_speed, options_.seed)) {
      summary.accuracy = point->accuracy;
      summary.speed = point->speed;
    }
    if (hooks_.on_candidate) hooks_.on_candidate(summary);
  }

  // Results on another model than the baseline's must not be compared with it. Holds mutex_.
  void check_model(const evals::StageResult& result) {
    const std::string hash = model_hash_of(result.evidence);
    if (hash.empty() || hash == model_hash_) return;
    model_changed_ = true;
    fail(candidate_error("the model is not the one that this search measured dense attention on",
                         "restore " + options_.job.model_path + ", or start a new search"));
  }

  void fail(Error error) {
    if (status_.ok()) status_ = std::move(error);
  }

  // --- telling

  void count(const std::string& verdict) {
    ++progress_.evaluated;
    ++progress_.verdicts[verdict];
  }

  void show(const CandidateSummary& summary) {
    ++progress_.refused;
    if (hooks_.on_candidate) hooks_.on_candidate(summary);
  }

  void note(const nlohmann::json& detail) {
    const Status stored = store_.add_event(run_.id, "environment", detail.dump());
    if (!stored.ok()) fail(stored.error());
    if (hooks_.on_message) hooks_.on_message(detail["message"].get<std::string>());
  }

  static nlohmann::json environment_event(int64_t candidate, const evals::StageResult& result) {
    return {{"candidate", candidate},
            {"stage", evals::stage_name(result.stage)},
            {"message", "candidate " + std::to_string(candidate) + ", " + std::string(evals::stage_name(result.stage)) +
                            ": " + result.message}};
  }

  // From the loop's thread: heartbeat, stop requests, display.
  void tick() {
    const std::lock_guard guard(mutex_);
    const double now = hooks_.clock();
    if (const Status beat = budget_.heartbeat(kHeartbeat); !beat.ok()) fail(beat.error());
    stop_ = std::max(stop_.load(), hooks_.stop());
    if (now - requests_read_ >= kHeartbeat) {
      requests_read_ = now;
      if (const Status read = read_stop_requests(); !read.ok()) fail(read.error());
    }
    progress_.seconds_used = budget_.used(Resource::kSeconds);
    if (hooks_.on_tick) hooks_.on_tick(progress_);
  }

  // `vortex stop` leaves an event; those of earlier sittings are history.
  Status read_stop_requests() {
    VORTEX_ASSIGN(const std::vector<db::Event> events, store_.events(run_.id));
    StopLevel level = StopLevel::kNone;
    for (const db::Event& event : events) {
      if (event.kind == "started" || event.kind == "resumed") level = StopLevel::kNone;
      if (event.kind == "stop-requested") level = std::max(level, StopLevel::kDrain);
      if (event.kind == "stop-now-requested") level = StopLevel::kKill;
    }
    stop_ = std::max(stop_.load(), level);
    return ok_status();
  }

  db::Store& store_;
  db::Run run_;
  const SearchOptions& options_;
  const SearchHooks& hooks_;
  Budget budget_;
  Proposer& proposer_;
  Planner planner_;
  Standing standing_;

  std::vector<evals::Outcome> incumbent_;
  std::string model_hash_;  // of the baseline
  std::map<int64_t, vflow::Policy> policies_;
  std::map<int64_t, vflow::PolicySource> sources_;
  std::set<int64_t> confirmed_;
  double pass_seconds_ = 0;
  int passes_ = 0;
  double requests_read_ = 0;

  std::atomic<StopLevel> stop_ = StopLevel::kNone;
  std::atomic<bool> model_changed_ = false;
  std::mutex mutex_;  // guards what follows while worker threads run
  Progress progress_;
  Status status_ = ok_status();
  bool unfinished_ = false;  // something was left for the next sitting
  int internal_faults_ = 0;
};

std::string state_after(const Result<SearchEnd>& end) {
  if (!end.ok()) return end.error().blame == Blame::kEnvironment ? "interrupted" : "failed";
  return *end == SearchEnd::kInterrupted ? "interrupted" : "finished";
}

}  // namespace

Result<SearchEnd> run_search(db::Store& store, const db::Run& run, const SearchOptions& options,
                             const vflow::ModelGeometry& model, const SearchHooks& hooks) {
  ProposerSetup setup{&store, run.id, &options, {}, hooks.on_message, hooks.sleep};
  setup.should_stop = [&] { return hooks.stop() != StopLevel::kNone; };
  VORTEX_ASSIGN(const std::unique_ptr<Proposer> proposer, make_proposer(options.proposer, setup));
  std::vector<Seed> seeds = builtin_seeds();
  if (!options.seeds_folder.empty()) {
    VORTEX_ASSIGN(seeds, load_seeds(options.seeds_folder));
  }
  VORTEX_ASSIGN(const std::vector<db::Candidate> before, store.candidates(run.id));
  VORTEX_TRY(store.set_run_state(run.id, "running"));
  VORTEX_TRY(store.add_event(run.id, before.empty() ? "started" : "resumed", "{}"));

  Search search(store, run, options, model, hooks, *proposer, seeds);
  const Result<SearchEnd> end = search.run();
  const Status closed = search.close();
  nlohmann::json detail = nlohmann::json::object();
  if (!end.ok()) detail = {{"blame", blame_name(end.error().blame)}, {"message", end.error().message}};
  const std::string state = state_after(end);
  const Status noted = store.add_event(run.id, state, detail.dump());
  const Status stated = store.set_run_state(run.id, state);
  if (!end.ok()) return end;  // the first failure is the one to tell
  VORTEX_TRY(closed);
  VORTEX_TRY(noted);
  VORTEX_TRY(stated);
  return end;
}

}  // namespace vortex::agent
