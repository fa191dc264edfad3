#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>

#include "agent/loop/search.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "core/vflow/graph/canonical.h"
#include "core/vflow/tell/cost.h"

namespace vortex::agent {

inline vflow::ModelGeometry test_model() {
  vflow::ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 2;
  model.head_dim = 64;
  model.max_context = 8192;
  return model;
}

// Stands in for workers: a policy's accuracy and speed are known functions of its source, with the noise of a hash, so
// that the same job always gets the same results. Faults are planted through the members.
struct SyntheticWorkers {
  int problems = 16;
  bool dead = false;    // no answer is right
  bool forced = false;  // the recall stage forces right answers: the worse the policy, the larger their KL
  double race_seconds = 0.01;
  std::string model_hash = "synthetic";
  std::atomic<int> jobs = 0;
  std::function<double(const job::Job&)> truth = quality;                 // between 0 and 1
  std::function<std::optional<job::StageResult>(const job::Job&)> fault;  // a result that ends the climb at once

  Result<std::vector<job::StageResult>> run(const job::Job& job,
                                            const std::function<void(const job::StageResult&)>& on_result,
                                            const std::function<bool()>& should_stop) {
    ++jobs;
    std::vector<job::StageResult> results;
    const auto report = [&](job::StageResult result) {
      results.push_back(result);
      on_result(result);
    };
    if (fault) {
      if (const auto planted = fault(job)) {
        report(*planted);
        return results;
      }
    }
    for (job::Stage stage : job.stages) {
      job::StageResult result = stage_result(job, stage);
      if (should_stop()) {
        result = {};
        result.stage = stage;
        result.verdict = job::Verdict::kError;
        result.blame = Blame::kEnvironment;
        result.message = "stopped on request";
      }
      report(result);
      if (result.verdict != job::Verdict::kPass) { break; }
    }
    return results;
  }

  // Between 0 and 1, fixed for a policy: dense attention is the most accurate, the slowest.
  static double quality(const job::Job& job) {
    if (job.dense) { return 1.0; }
    return Rng(std::stoull(sha256_hex(job.module_text + job.config_text).substr(0, 15), nullptr, 16)).uniform();
  }

  job::StageResult stage_result(const job::Job& job, job::Stage stage) const {
    job::StageResult result;
    result.stage = stage;
    result.verdict = job::Verdict::kPass;
    result.seconds = stage == job::Stage::kRace ? race_seconds : 0.01;
    result.evidence["model_hash"] = model_hash;
    const double good = truth(job);
    if (stage == job::Stage::kValidate && good < 0.1) {
      result.verdict = job::Verdict::kFail;
      result.blame = Blame::kCandidate;
      result.message = "planted: disagrees with the oracle";
    }
    if (stage == job::Stage::kRecall && forced) {
      result.metrics.push_back({"answer_kl", 1 - good, 1 - good, 1 - good, "nat"});
      result.evidence["answer_bytes"] = 1000 * (1 + good);
      for (int i = 0; i < problems; ++i) { result.evidence["answers"].push_back({{"kl", 1 - good}}); }
    }
    if (stage == job::Stage::kRace || stage == job::Stage::kConfirm) { add_outcomes(job, stage, good, result); }
    if (stage == job::Stage::kSpeed) {
      const double speed = job.dense ? 1.0 : 1.0 + 2.0 * (1.0 - good);
      result.metrics.push_back({"speedup_vs_dense", speed, speed * 0.98, speed * 1.02, "x"});
    }
    return result;
  }

 private:
  void add_outcomes(const job::Job& job, job::Stage stage, double good, job::StageResult& result) const {
    const bool held_out = stage == job::Stage::kConfirm && job.confirm_task;
    const uint64_t seed = held_out ? job.confirm_task->seed : job.task.seed;
    const int count = held_out ? job.confirm_task->problems : problems;
    for (int i = 0; i < count; ++i) {
      Rng rng(stream_key(seed, static_cast<uint64_t>(i), static_cast<uint64_t>(stage)));
      job::Outcome outcome;
      outcome.problem = std::string(job::stage_name(stage)) + std::to_string(seed) + "-" + std::to_string(i);
      outcome.correct = !dead && rng.uniform() < 0.3 + 0.7 * good;
      outcome.tokens = 10;
      outcome.tokens_hash = sha256_hex(job.module_text + outcome.problem);
      result.outcomes.push_back(outcome);
    }
  }
};

inline study::SearchOptions test_options() {
  study::SearchOptions options;
  options.job.id = "template";
  options.job.model_path = "synthetic";
  options.job.stages = {job::Stage::kCompile, job::Stage::kValidate, job::Stage::kRace, job::Stage::kSpeed};
  options.job.confirm_seed = 2;
  options.seed = 11;
  options.max_evals = 16;
  options.rank_speed = study::RankSpeed::kModelled;
  return options;
}

// `now`: the clock; the search and its workers ask for it in threads of their own.
inline SearchHooks test_hooks(SyntheticWorkers& workers, std::atomic<double>* now) {
  SearchHooks hooks;
  hooks.run_job = [&workers](const auto& job, const auto& on_result, const auto& should_stop) {
    return workers.run(job, on_result, should_stop);
  };
  hooks.modelled_speed = [](const vflow::Policy& policy) {
    return vflow::decode_cost(policy, test_model(), 4096).byte_ratio();
  };
  hooks.stop = [] { return StopLevel::kNone; };
  hooks.clock = [now] { return now->load(); };
  hooks.sleep = [now](double seconds) { *now += seconds; };
  return hooks;
}

}  // namespace vortex::agent
