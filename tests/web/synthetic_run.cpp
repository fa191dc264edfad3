#include "tests/web/synthetic_run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "base/files.h"
#include "db/lock.h"
#include "db/store.h"
#include "study/options.h"

namespace vortex::web {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kHeldOut = 150;  // problems: enough to show that a policy loses little

struct Made {
  int64_t id = 0;
  double speed = 1;
  double quality = 0.9;
  size_t policy = 0;  // of the folder's
};

json metric(const char* name, double value, double half, const char* unit = "") {
  return {{"name", name}, {"value", value}, {"lo", value - half}, {"hi", value + half}, {"unit", unit}};
}

// Writes one made-up run, candidate by candidate.
class Writer {
 public:
  Writer(db::Store& store, const SyntheticOptions& options) : store_(store), options_(options), random_(options.seed) {}

  Status write() {
    VORTEX_TRY(read_policies());
    VORTEX_TRY(start());
    VORTEX_TRY(add_dense());
    for (int i = 0; i < options_.candidates; ++i) {
      VORTEX_TRY(add_candidate(i));
      if (options_.seconds_each > 0) {
        std::this_thread::sleep_for(std::chrono::duration<double>(options_.seconds_each));
      }
    }
    if (!options_.finished) { return ok_status(); }
    VORTEX_TRY(store_.add_event(run_, "finished", R"({"end": "budget"})"));
    return store_.set_run_state(run_, db::RunState::kFinished);
  }

 private:
  double uniform() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  double normal() { return std::normal_distribution<double>(0, 1)(random_); }

  Status read_policies() {
    std::vector<fs::path> modules;
    for (const auto& entry : fs::directory_iterator(options_.policies)) {
      if (entry.path().extension() == ".py") { modules.push_back(entry.path()); }
    }
    std::sort(modules.begin(), modules.end());
    for (fs::path module : modules) {
      VORTEX_ASSIGN(const std::string text, read_file(module.string()));
      VORTEX_ASSIGN(const std::string config, read_file(module.replace_extension(".json").string()));
      VORTEX_ASSIGN(const std::string module_object, store_.put_object("# " + options_.hostile + "\n" + text));
      modules_.push_back(module_object);
      configs_.push_back(config);
    }
    if (modules_.empty()) { return candidate_error("no policies in " + options_.policies); }
    return ok_status();
  }

  Status start() {
    study::SearchOptions search;
    search.job.id = "made-up";
    search.job.model_path = options_.model_path;
    search.job.stages = {job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRecall, job::Stage::kRace,
                         job::Stage::kSpeed};
    search.job.task.problems = options_.problems;
    search.seconds = 3600;
    search.max_dollars = 5;
    search.proposer = options_.hostile.empty() ? "evolve" : "llm";
    db::Run run;
    run.name = options_.name;
    run.config = study::to_json(search).dump();
    run.started = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    run.seconds_used = 1800;
    VORTEX_ASSIGN(run_, store_.add_run(run));
    return store_.add_event(run_, "started", "{}");
  }

  Status add_stage(int64_t candidate, db::StageRound stage, job::Verdict verdict, std::optional<Blame> blame,
                   const std::string& message, const json& metrics, double seconds,
                   const std::vector<db::OutcomeRow>& outcomes = {}) {
    db::StageRow row;
    row.candidate = candidate;
    row.attempt = 1;
    row.stage = stage;
    row.verdict = verdict;
    row.blame = blame;
    row.message = message + (message.empty() ? "" : options_.hostile);
    row.metrics = metrics.dump();
    json evidence = {{"device", "made up"}, {"build", "made up"}, {"note", options_.hostile}};
    if (stage == job::Stage::kRecall) {
      evidence["mass_per_layer"] = {0.91 - 0.05 * uniform(), 0.86 - 0.1 * uniform(), 0.97 - 0.03 * uniform(),
                                    0.8 - 0.2 * uniform()};
    }
    if (seconds > 1) { evidence["planned_seconds"] = seconds * 0.8; }
    row.evidence = evidence.dump();
    row.log_tail = message.empty() ? "" : "worker: " + message + "\n" + options_.hostile;
    row.seconds = seconds;
    return store_.add_stage(row, outcomes);
  }

  std::vector<db::OutcomeRow> outcomes(int64_t candidate, job::Stage stage, double quality, int first, int problems) {
    std::vector<db::OutcomeRow> rows;
    for (int i = 0; i < problems; ++i) {
      db::OutcomeRow row;
      row.candidate = candidate;
      row.attempt = 1;
      row.stage = stage;
      row.problem = "chain-780-16-" + std::to_string(first + i);
      row.correct = uniform() < quality;
      row.tokens = 165;
      row.extracted = std::to_string(100 + i) + options_.hostile;
      row.rule = "last number";
      rows.push_back(row);
    }
    return rows;
  }

  static double accuracy_of(const std::vector<db::OutcomeRow>& rows) {
    const auto right = std::count_if(rows.begin(), rows.end(), [](const db::OutcomeRow& row) { return row.correct; });
    return static_cast<double>(right) / static_cast<double>(std::max<size_t>(1, rows.size()));
  }

  Status add_dense() {
    db::Candidate row;
    row.run = run_;
    row.key = "dense";
    row.origin = db::Origin::kDense;
    row.rationale = "the baseline: attends every page";
    VORTEX_ASSIGN(const int64_t id, store_.add_candidate(row, {}));
    VORTEX_TRY(add_stage(id, job::Stage::kCompile, job::Verdict::kPass, std::nullopt, "", json::array(), 0.1));
    const auto race = outcomes(id, job::Stage::kRace, 0.94, 0, options_.problems);
    VORTEX_TRY(add_stage(id, job::Stage::kRace, job::Verdict::kPass, std::nullopt, "",
                         json::array({metric("accuracy", accuracy_of(race), 0.08)}), 4, race));
    VORTEX_TRY(add_stage(id, job::Stage::kSpeed, job::Verdict::kPass, std::nullopt, "",
                         {metric("tokens_per_s", 410, 4, "tok/s"), metric("speedup_vs_dense", 1, 0)}, 3));
    const auto confirm = outcomes(id, job::Stage::kConfirm, 0.94, 500, kHeldOut);
    VORTEX_TRY(add_stage(id, job::Stage::kConfirm, job::Verdict::kPass, std::nullopt, "",
                         json::array({metric("accuracy", accuracy_of(confirm), 0.15)}), 4, confirm));
    return store_.set_candidate_state(id, db::CandidateState::kDone, job::Verdict::kPass);
  }

  Status end(int64_t id, job::Stage stage, job::Verdict verdict, std::optional<Blame> blame, const std::string& why) {
    VORTEX_TRY(add_stage(id, stage, verdict, blame, why, json::array(), 0.4 * uniform()));
    return store_.set_candidate_state(id, db::CandidateState::kDone, verdict);
  }

  Status add_candidate(int number) {
    const Made* parent = nullptr;
    if (!passed_.empty() && number >= static_cast<int>(modules_.size())) {
      parent = &passed_[static_cast<size_t>(uniform() * uniform() * static_cast<double>(passed_.size()))];
    }
    Made made;
    made.policy = parent == nullptr ? static_cast<size_t>(number) % modules_.size() : parent->policy;
    const double progress = static_cast<double>(number) / options_.candidates;
    made.speed = (parent == nullptr ? 1.05 : parent->speed) * std::exp(0.09 * normal());
    made.speed = std::clamp(made.speed, 0.6, 1.5 + 0.9 * progress);
    made.quality = std::clamp(0.99 - 0.2 * std::pow(std::max(0.0, made.speed - 1.3), 1.5) - 0.03 * uniform(), 0.1, 1.0);
    json config = json::parse(configs_[made.policy]);
    config["vortex_topk_val"] = 8 + number % 40;
    VORTEX_ASSIGN(const std::string config_object, store_.put_object(config.dump(2) + "\n"));

    db::Candidate row;
    row.run = run_;
    row.batch = 1 + number / 4;
    row.slot = number % 4;
    row.key = "made-up-" + std::to_string(number);
    row.program_hash = row.key;
    row.module_object = modules_[made.policy];
    row.config_object = config_object;
    row.origin = parent == nullptr ? db::Origin::kSeed
                 : number % 7 == 0 ? db::Origin::kCrossover
                 : number % 5 == 0 ? db::Origin::kRandom
                                   : db::Origin::kMutate;
    row.rationale = "keeps " + std::to_string(8 + number % 40) + " pages" + options_.hostile;
    row.state = db::CandidateState::kRunning;
    if (number % 11 == 3) { row.arm = db::Arm::kControl; }
    std::vector<db::LineageEdge> edges;
    if (parent != nullptr) {
      edges.push_back({0, parent->id, "topk_val -> " + std::to_string(8 + number % 40) + options_.hostile});
    }
    VORTEX_ASSIGN(made.id, store_.add_candidate(row, edges));
    if (number % 9 == 0) { VORTEX_TRY(add_note(row, number)); }
    return climb(made, number);
  }

  Status add_note(const db::Candidate& row, int number) {
    db::Note note;
    note.run = run_;
    note.batch = row.batch;
    note.slot = row.slot;
    note.kind = number % 27 == 0 ? db::NoteKind::kAntiPattern : db::NoteKind::kHypothesis;
    note.text = "Fewer pages in early layers cost little accuracy" + options_.hostile;
    note.prediction = R"({"metric": "speed", "direction": "higher", "by": 0.05, "against": 0})";
    return store_.add_note(note);
  }

  Status climb(const Made& made, int number) {
    const int64_t id = made.id;
    const double luck = uniform();
    if (luck < 0.07) {
      return end(id, job::Stage::kCheck, job::Verdict::kFail, Blame::kCandidate,
                 "policy.py:" + std::to_string(number % 30) +
                     ":9: topK takes a score of shape [1, 1]\nhint: reduce over dim 2 first");
    }
    VORTEX_TRY(add_stage(id, job::Stage::kCheck, job::Verdict::kPass, std::nullopt, "",
                         json::array({metric("modelled_speedup", made.speed * 1.1, 0)}), 0.001));
    if (luck < 0.13) {
      return end(id, job::Stage::kNovelty, job::Verdict::kPruned, std::nullopt,
                 "the same program and configuration as candidate " + std::to_string(id - 1));
    }
    VORTEX_TRY(add_stage(id, job::Stage::kNovelty, job::Verdict::kPass, std::nullopt, "", json::array(), 0.001));
    if (luck < 0.15) {
      return end(id, job::Stage::kCompile, job::Verdict::kError, Blame::kEnvironment,
                 "the worker was killed by signal 9");
    }
    VORTEX_TRY(add_stage(id, job::Stage::kCompile, job::Verdict::kPass, std::nullopt, "",
                         json::array({metric("compile_seconds", 0.2, 0, "s")}), 0.2));
    if (luck < 0.18) {
      return end(id, job::Stage::kValidate, job::Verdict::kFail, Blame::kCandidate,
                 "differs from the oracle by 0.02 where 0.001 is allowed");
    }
    VORTEX_TRY(add_stage(id, job::Stage::kValidate, job::Verdict::kPass, std::nullopt, "", json::array(), 0.9));
    if (luck < 0.19) {
      return end(id, job::Stage::kRecall, job::Verdict::kTimeout, Blame::kCandidate, "took longer than 600 s");
    }
    VORTEX_TRY(add_stage(id, job::Stage::kRecall, job::Verdict::kPass, std::nullopt, "",
                         json::array({metric("mass_recall", 0.5 + made.quality / 2, 0.02),
                                      metric("oracle_accuracy", std::min(1.0, made.quality + 0.04), 0.05)}),
                         1.5));
    const auto race = outcomes(id, job::Stage::kRace, made.quality, 0, options_.problems);
    const double accuracy = accuracy_of(race);
    const json metrics = json::array({metric("accuracy", accuracy, 0.1)});
    if (accuracy < 0.6) {
      VORTEX_TRY(add_stage(id, job::Stage::kRace, job::Verdict::kPruned, std::nullopt,
                           "clearly less accurate than dense attention", metrics, 2, race));
      return store_.set_candidate_state(id, db::CandidateState::kDone, job::Verdict::kPruned);
    }
    VORTEX_TRY(add_stage(id, job::Stage::kRace, job::Verdict::kPass, std::nullopt, "", metrics, 3, race));
    const double half = 0.015 + 0.02 * uniform();
    VORTEX_TRY(add_stage(
        id, job::Stage::kSpeed, job::Verdict::kPass, std::nullopt, "",
        {metric("speedup_vs_dense", made.speed, half), metric("tokens_per_s", 410 * made.speed, 6, "tok/s")}, 3));
    const bool confirmed = made.speed > 1.15 && number % 3 == 0;
    if (confirmed) {
      const auto confirm = outcomes(id, job::Stage::kConfirm, made.quality, 500, kHeldOut);
      VORTEX_TRY(add_stage(id, job::Stage::kConfirm, job::Verdict::kPass, std::nullopt, "",
                           json::array({metric("accuracy", accuracy_of(confirm), 0.1)}), 3, confirm));
      // Finalists are measured in further processes, which lie close together.
      for (const int run : {2, 3}) {
        VORTEX_TRY(add_stage(id, db::StageRound(job::Stage::kSpeed, run), job::Verdict::kPass, std::nullopt, "",
                             {metric("speedup_vs_dense", made.speed * (1 + 0.004 * normal()), half),
                              metric("dense_tokens_per_s", 410, 2)},
                             3));
      }
    }
    VORTEX_TRY(store_.set_candidate_state(id, db::CandidateState::kDone, job::Verdict::kPass));
    passed_.push_back(made);
    if (made.speed > best_ * 1.03) {
      best_ = made.speed;
      return store_.add_event(run_, "front", json{{"candidate", id}, {"confirmed", confirmed}}.dump());
    }
    return ok_status();
  }

  db::Store& store_;
  const SyntheticOptions& options_;
  std::mt19937_64 random_;
  int64_t run_ = 0;
  std::vector<std::string> modules_;  // object names
  std::vector<std::string> configs_;
  std::vector<Made> passed_;
  double best_ = 1;
};

}  // namespace

Status write_synthetic_run(const fs::path& workspace, const SyntheticOptions& options) {
  VORTEX_ASSIGN(const std::unique_ptr<db::Store> store, db::Store::open(workspace));
  VORTEX_ASSIGN(const db::WorkspaceLock lock, db::WorkspaceLock::acquire(workspace));
  return Writer(*store, options).write();
}

}  // namespace vortex::web
