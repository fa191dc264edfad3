#include "agent/loop/search.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "agent/evaluate/evaluator.h"
#include "agent/loop/knowledge.h"
#include "agent/loop/planner.h"
#include "agent/loop/proposers.h"
#include "agent/loop/rounds.h"
#include "agent/loop/shelf.h"
#include "agent/session/breaker.h"
#include "agent/session/patient_store.h"
#include "agent/session/session.h"
#include "base/text.h"
#include "study/baseline.h"
#include "study/held_out.h"
#include "study/history.h"
#include "study/standing.h"

namespace vortex::agent {
namespace {

constexpr int kEmptyBatches = 3;  // in a row: the proposer has nothing new

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

// The loop: propose a batch, evaluate it, race what might change the front, confirm the front, again. Batches overlap
// where the options say so: the next ones are proposed while a batch climbs, from what is known without it. When that
// is taken in is fixed, so that no decision depends on who ends first.
class Search {
 public:
  // `options`: what dense attention's climb settles is written into them.
  Search(Session& session, study::SearchOptions& options, const vflow::ModelGeometry& model, Proposer& proposer,
         const std::vector<Seed>& seeds)
      : session_(session),
        options_(options),
        evaluator_(session, options, canary_job(options)),
        proposer_(proposer),
        proposer_breaker_(session, "proposer", [&session] { return session.tick_ended(); }),
        planner_(session.store(), session.run().id, options, model, proposer, seeds),
        shelf_(session.store(), model),
        parts_{session, options, evaluator_, shelf_},
        knowledge_(parts_),
        rounds_(parts_, knowledge_) {
    planner_.budget = &session.budget();
    planner_.modelled_speed = session.hooks().modelled_speed;
    planner_.read_policy = [this](int64_t candidate) { return shelf_.policy(candidate); };
    planner_.on_refused = [this](int64_t candidate, db::Origin origin, const job::StageResult& result) {
      const std::string where = std::string(job::stage_name(result.stage)) + ": ";
      session_.change_progress([](Progress& progress) { ++progress.refused; });
      session_.candidate({candidate, origin, result.verdict, where + result.message, {}, {}});
    };
  }

  Result<SearchEnd> run() {
    const Result<SearchEnd> end = search_and_confirm();
    if (!end.ok()) { session_.fail(end.error()); }  // what still runs is ended
    return end;
  }

 private:
  // A batch whose candidates climb.
  struct Flight {
    int64_t batch = 0;
    std::vector<int64_t> candidates;
    int64_t lot = 0;  // of the evaluator
  };

  Result<SearchEnd> search_and_confirm() {
    VORTEX_TRY(planner_.load());
    VORTEX_TRY(load_announced());
    VORTEX_TRY(load_batches());
    VORTEX_TRY(climb_dense());
    VORTEX_ASSIGN(const SearchEnd end, search());
    VORTEX_TRY(land_all());
    VORTEX_TRY(rounds_.finals());
    announce();
    session_.tick();  // what ended last is told, too
    VORTEX_TRY(session_.status());
    if (end == SearchEnd::kBudget) { tell_what_did_not_fit(); }
    return session_.stop() != StopLevel::kNone ? SearchEnd::kInterrupted : end;
  }

  Result<SearchEnd> search() {
    int empty_batches = 0;
    for (int64_t batch = 1; !session_.ended(); ++batch) {
      VORTEX_ASSIGN(const std::vector<Planned> planned, plan_batch(batch));
      if (planned.empty() && !may_propose()) { break; }
      empty_batches = planned.empty() ? empty_batches + 1 : 0;
      if (empty_batches == kEmptyBatches) {
        session_.message("ended before its time: " + std::to_string(kEmptyBatches) +
                         " batches in a row brought no policy that is new and can be read");
        return SearchEnd::kExhausted;
      }
      VORTEX_TRY(start_climbs(batch, planned));
      if (static_cast<int>(flights_.size()) <= options_.overlap) { continue; }
      VORTEX_TRY(land());
      if (session_.ended()) { break; }
      VORTEX_TRY(rounds_.ask(options_.overlap > 0 ? Beside::kClimbs : Beside::kNothing));
      VORTEX_TRY(answer_requests(batch));
      if (rounds_.finals_are_due()) { VORTEX_TRY(rounds_.finals()); }
      announce();
    }
    return SearchEnd::kBudget;
  }

  // Takes in what is in the air, once nothing more is proposed. In a search that was told to stop it ends, no more.
  Status land_all() {
    if (options_.overlap == 0) { return ok_status(); }
    VORTEX_TRY(rounds_.prepare_finals());
    while (!flights_.empty()) {
      VORTEX_TRY(land());
      VORTEX_TRY(rounds_.ask(flights_.empty() ? Beside::kNothing : Beside::kLastClimbs));
    }
    return rounds_.take_asked();
  }

  bool may_propose() const {
    const Budget& budget = session_.budget();
    return !session_.ended() && budget.may_spend(study::Resource::kEvaluations, 1) &&
           budget.may_spend(study::Resource::kSeconds, evaluator_.expected_seconds(options_.job.stages));
  }

  // Where time is left, a user wonders why it was not used.
  void tell_what_did_not_fit() {
    const Budget& budget = session_.budget();
    const double left = budget.limit(study::Resource::kSeconds) - budget.used(study::Resource::kSeconds);
    const double next = evaluator_.expected_seconds(options_.job.stages);
    if (session_.stop() != StopLevel::kNone || left < 1 || next <= left) { return; }
    session_.message("ended with " + fixed(left, 0) + " s left: another candidate should take " + fixed(next, 0) +
                     " s (" + evaluator_.longest_stages(options_.job.stages) + "), which does not fit");
  }

  // --- proposing

  Result<std::vector<Planned>> plan_batch(int64_t batch) {
    session_.change_progress([&](Progress& progress) { progress.batch = batch; });
    std::vector<Planned> planned;
    look_up_passed();
    const std::vector<Parent> front = front_parents();
    for (int64_t slot = 0; slot < options_.batch; ++slot) {
      session_.tick();
      VORTEX_ASSIGN(std::optional<Planned> one, plan_slot(batch, slot, front));
      if (!one) { continue; }
      session_.budget().book(study::Resource::kEvaluations, 1);
      shelf_.add(one->candidate, one->policy);
      if (one->control) { control_.insert(one->candidate); }
      planned.push_back(std::move(*one));
    }
    return planned;
  }

  // A proposer that is down is waited for; what it proposed before is in the rows.
  Result<std::optional<Planned>> plan_slot(int64_t batch, int64_t slot, const std::vector<Parent>& front) {
    std::string waited_for;
    for (;;) {
      Result<std::optional<Planned>> one = planner_.plan(batch, slot, front, passed_, [this] { return may_propose(); });
      if (one.ok()) {
        proposer_breaker_.worked();
        return one;
      }
      if (one.error().blame != Blame::kEnvironment) { return one; }
      session_.note("environment", {{"what", "proposer"}, {"message", one.error().message}});
      // An attempt that the search's own end cut short says nothing of what it waited for.
      if (waited_for.empty() || !session_.ended()) { waited_for = one.error().message; }
      if (!session_.tick_ended() && proposer_breaker_.wait(one.error())) { continue; }
      if (!session_.ended()) { return one; }
      session_.note("stall", {{"what", "proposer"}, {"ended", true}, {"message", waited_for}});
      return std::optional<Planned>{};
    }
  }

  // Without those of the control arm: the search must not profit from it, or the two could not be compared. Nor is
  // dense attention a parent, which has no policy.
  bool may_be_parent(int64_t candidate) const { return shelf_.contains(candidate) && !control_.contains(candidate); }

  std::vector<Parent> front_parents() const {
    std::vector<Parent> result;
    const std::vector<study::Point> front = knowledge_.standing().front();
    const std::vector<double> weights = knowledge_.standing().front_probability();
    for (size_t i = 0; i < front.size(); ++i) {
      if (!may_be_parent(front[i].candidate)) { continue; }
      result.push_back({front[i].candidate, nullptr, weights[i], front[i].promise});
    }
    return result;
  }

  // Most batches only add points behind those that were there.
  void look_up_passed() {
    const std::vector<study::Point>& points = knowledge_.standing().archive().points();
    const auto agrees = [](const std::pair<int64_t, double>& known, const study::Point& point) {
      return known.first == point.candidate && known.second == point.promise;
    };
    const bool grown = passed_points_.size() <= points.size() &&
                       std::equal(passed_points_.begin(), passed_points_.end(), points.begin(), agrees);
    if (!grown) {
      passed_points_.clear();
      passed_.clear();
    }
    for (size_t i = passed_points_.size(); i < points.size(); ++i) {
      const int64_t candidate = points[i].candidate;
      const double promise = points[i].promise;
      passed_points_.emplace_back(candidate, promise);
      if (may_be_parent(candidate)) { passed_.push_back({candidate, nullptr, promise, promise}); }
    }
  }

  // --- evaluating

  // Dense attention is the first point and what everything is paired with: without it there is no search.
  Status climb_dense() {
    db::Store& store = session_.store();
    db::Candidate row;
    row.run = session_.run().id;
    row.origin = db::Origin::kDense;
    row.key = name_of(row.origin);
    row.rationale = "the baseline: attends every page";
    VORTEX_ASSIGN(dense_, store.add_candidate(row, {}));
    knowledge_.set_dense(dense_);
    VORTEX_TRY(evaluator_.run({{Assignment::Kind::kClimb, dense_, dense_job(options_), 0, true}}));
    VORTEX_ASSIGN(const study::CandidateHistory dense, study::read_candidate(store, dense_));
    if (!study::is_done(dense.row)) {
      return ok_status();  // told to stop, or out of time
    }
    if (!study::has_passed(dense.row)) {
      const db::StageRow& last = dense.stages.back();
      VORTEX_TRY(store.set_candidate_state(dense_, db::CandidateState::kProposed,
                                           std::nullopt));  // a repaired machine may try again
      return Error{
          last.blame.value_or(Blame::kInternal),
          "dense attention, the baseline, does not pass: " + db::stage_round_name(last.stage) + ": " + last.message,
          "without a baseline nothing can be compared; `vortex show " + std::to_string(dense_) + "` has its log"};
    }
    VORTEX_TRY(settle_held_out(dense));
    knowledge_.take_dense(dense);
    VORTEX_TRY(judge_baseline(dense));
    const std::vector<db::StageRow> climb = study::last_climb(dense);
    evaluator_.set_model_hash(model_hash_of(nlohmann::json::parse(climb.back().evidence, nullptr, false)));
    knowledge_.absorb(dense);
    return ok_status();
  }

  // Kept with the run: whoever reads the search judges by the same looks.
  Status settle_held_out(const study::CandidateHistory& dense) {
    VORTEX_ASSIGN(const bool has_asked, rounds_.has_asked());
    // By its climb alone: a later sitting comes to the same.
    const int problems = study::settled_held_out(options_, study::as_of(dense, {}));
    if (has_asked || problems == options_.held_out) { return ok_status(); }
    options_.held_out = problems;
    return session_.store().set_run_config(session_.run().id, to_json(options_).dump());
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
    const db::StageRow* race = study::last_stage(dense, job::Stage::kRace);
    if (!options_.confirm || race == nullptr) { return ok_status(); }
    const std::vector<job::Outcome> outcomes = study::outcomes_of(dense, *race);
    session_.message(study::plan_text(options_, evals::accuracy_interval(outcomes, options_.seed).value,
                                      study::fresh_problem_seconds(dense)));
    return ok_status();
  }

  Status start_climbs(int64_t batch, const std::vector<Planned>& planned) {
    Flight& flight = flights_.emplace_back();
    flight.batch = batch;
    std::vector<Assignment> tasks;
    VORTEX_TRY(rounds_.look_up_rivals(control_));
    for (const Planned& one : planned) {
      flight.candidates.push_back(one.candidate);
      tasks.push_back({Assignment::Kind::kClimb, one.candidate, rounds_.climb(one.source)});
    }
    VORTEX_ASSIGN(flight.lot, evaluator_.start(tasks, false));
    return ok_status();
  }

  // Waits for the first batch in the air, and takes it in.
  Status land() {
    const Flight flight = std::move(flights_.front());
    flights_.pop_front();
    VORTEX_TRY(evaluator_.wait(flight.lot));
    for (const int64_t number : flight.candidates) {
      VORTEX_ASSIGN(const study::CandidateHistory candidate, study::read_candidate(session_.store(), number));
      knowledge_.absorb(candidate);
      if (study::is_done(candidate.row)) { knowledge_.count_climb(candidate); }
    }
    return proposer_.learn(flight.batch);
  }

  bool is_in_the_air(int64_t candidate) const {
    return std::any_of(flights_.begin(), flights_.end(), [&](const Flight& flight) {
      return std::find(flight.candidates.begin(), flight.candidates.end(), candidate) != flight.candidates.end();
    });
  }

  // What people asked for (the dashboard writes it), one at a time at the end of a batch. Where it was taken up is
  // kept: a resumed search answers it at the same place, and takes up nothing new before it is past its old batches.
  Status answer_requests(int64_t batch) {
    VORTEX_ASSIGN(std::vector<db::Request> requests, session_.store().requests(session_.run().id));
    for (db::Request& request : requests) {
      if (session_.ended()) { return ok_status(); }
      if (request.batch == 0 && batch >= known_batches_ && !is_in_the_air(request.candidate)) {
        VORTEX_TRY(session_.store().take_request(request.id, batch));
        request.batch = batch;
      }
      if (request.batch != batch) { continue; }
      VORTEX_ASSIGN(const std::string result, rounds_.answer(request));
      if (session_.ended()) { return ok_status(); }
      if (request.ended == 0) { VORTEX_TRY(session_.store().end_request(request.id, result)); }
    }
    return ok_status();
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
    for (const study::Point& point : knowledge_.standing().front()) {
      if (point.candidate == dense_ || !announced_.insert(point.candidate).second) { continue; }
      session_.note("front",
                    {{"candidate", point.candidate},
                     {"accuracy", {point.accuracy.value, point.accuracy.lo, point.accuracy.hi}},
                     {"speed_over_dense", {point.speed.ratio.value, point.speed.ratio.lo, point.speed.ratio.hi}},
                     {"confirmed", knowledge_.of(point.candidate).confirmed}});
    }
  }

  Session& session_;
  study::SearchOptions& options_;
  Evaluator evaluator_;
  Proposer& proposer_;
  Breaker proposer_breaker_;
  Planner planner_;
  Shelf shelf_;
  const LoopParts parts_;
  Knowledge knowledge_;
  Rounds rounds_;

  int64_t dense_ = 0;
  std::deque<Flight> flights_;  // first batch first
  std::vector<Parent> passed_;
  std::vector<std::pair<int64_t, double>> passed_points_;  // candidate and promise of those that passed_ was made of
  std::set<int64_t> control_;
  std::set<int64_t> announced_;
  int64_t known_batches_ = 0;
};

db::RunState state_after(const Result<SearchEnd>& end) {
  if (!end.ok()) {
    return end.error().blame == Blame::kEnvironment ? db::RunState::kInterrupted : db::RunState::kFailed;
  }
  return *end == SearchEnd::kInterrupted ? db::RunState::kInterrupted : db::RunState::kFinished;
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
  const db::RunState state = state_after(end);
  const std::string event(name_of(state));
  const Status noted = store.add_event(run.id, event, detail.dump());
  const Status stated = store.set_run_state(run.id, state);
  if (hooks.on_event) { hooks.on_event(event, detail); }
  VORTEX_TRY(noted);
  return stated;
}

Result<SearchEnd> sit(db::Store& store, const db::Run& run, study::SearchOptions& options,
                      const vflow::ModelGeometry& model, const SearchHooks& hooks, Proposer& proposer,
                      const std::vector<Seed>& seeds, std::function<bool()>& has_ended) {
  Session session(store, run, options, hooks);
  VORTEX_TRY(session.load());
  has_ended = [&session] { return session.tick_ended(); };
  const Result<SearchEnd> end = Search(session, options, model, proposer, seeds).run();
  has_ended = nullptr;
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

Result<std::vector<Seed>> seeds_of(const study::SearchOptions& options, bool latent) {
  return options.seeds_folder.empty() ? builtin_seeds(latent) : load_seeds(options.seeds_folder);
}

// What the policies of this search are checked against.
vflow::ModelGeometry with_budget(vflow::ModelGeometry model, const study::SearchOptions& options) {
  model.token_budget = options.token_budget;
  return model;
}

}  // namespace

bool may_overlap(const study::SearchOptions& options) {
  return options.proposer == "evolve" || options.proposer == "random";
}

Status check_search(db::Store& store, const study::SearchOptions& options) {
  if (options.overlap > 0 && !may_overlap(options)) {
    return candidate_error("proposer " + options.proposer + " reads every result that there is, and cannot propose " +
                               "while batches overlap: who ends first would decide",
                           "leave --overlap out");
  }
  VORTEX_TRY(make_proposer(options.proposer, {&store, 0, &options, {}, {}, {}}));
  VORTEX_TRY(seeds_of(options, false));
  return ok_status();
}

Result<SearchEnd> run_search(db::Store& store, const db::Run& run, const study::SearchOptions& options,
                             const vflow::ModelGeometry& runs_on, const SearchHooks& hooks) {
  const vflow::ModelGeometry model = with_budget(runs_on, options);
  PatientStore patient(store, patience_of(store, run, options, hooks));
  ProposerSetup setup{&patient, run.id, &options, {}, hooks.on_message, hooks.sleep};
  // A proposer waits on the loop's thread: what it waits for ends with any budget of the session, too.
  std::function<bool()> has_ended;
  setup.should_stop = [&] { return hooks.stop() != StopLevel::kNone || (has_ended && has_ended()); };
  VORTEX_ASSIGN(const std::unique_ptr<Proposer> proposer, make_proposer(options.proposer, setup));
  VORTEX_ASSIGN(std::vector<Seed> shipped, seeds_of(options, model.kv_lora_rank > 0));
  const std::vector<Seed> seeds = within_token_budget(std::move(shipped), model);
  VORTEX_ASSIGN(const std::vector<db::Candidate> before, store.candidates(run.id));
  VORTEX_TRY(store.set_run_state(run.id, db::RunState::kRunning));
  VORTEX_TRY(store.add_event(run.id, before.empty() ? "started" : "resumed", "{}"));

  Proposer& asked = hooks.proposer != nullptr ? *hooks.proposer : *proposer;
  study::SearchOptions settled = options;
  const Result<SearchEnd> end = sit(patient, run, settled, model, hooks, asked, seeds, has_ended);
  const Status written = write_end(store, run, end, hooks);
  if (!end.ok()) {
    return end;  // the first failure is the one to tell
  }
  VORTEX_TRY(written);
  return end;
}

}  // namespace vortex::agent
