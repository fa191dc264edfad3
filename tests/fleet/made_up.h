#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fleet/fleet.h"
#include "fleet/pilot.h"
#include "fleet/token.h"
#include "fleet/workshop.h"
#include "tests/agent/synthetic.h"

namespace vortex::fleet {

inline constexpr const char* kMadeUpBuild = "made-up";

// What a worker must say beside a made-up result, so that it is believed.
inline job::StageResult with_evidence(const job::Job& job, job::StageResult result) {
  nlohmann::json& evidence = result.evidence;
  evidence["build_id"] = kMadeUpBuild;
  evidence["dense"] = job.dense;
  evidence["threads"] = job.threads;
  evidence["batch"] = job.batch;
  if (!job.dense) { evidence["policy_key"] = sha256_hex(job.module_text + job.config_text); }
  if (!result.outcomes.empty()) {
    const auto right = std::count_if(result.outcomes.begin(), result.outcomes.end(),
                                     [](const job::Outcome& outcome) { return outcome.correct; });
    const double accuracy = static_cast<double>(right) / static_cast<double>(result.outcomes.size());
    result.metrics.push_back({"accuracy", accuracy, accuracy, accuracy, ""});
  }
  return result;
}

// The workers of tests/agent/synthetic.h, believable from afar.
inline Result<std::vector<job::StageResult>> run_made_up(agent::SyntheticWorkers& workers, const job::Job& job,
                                                         const std::function<void(const job::StageResult&)>& on_result,
                                                         const std::function<bool()>& should_stop) {
  std::vector<job::StageResult> results;
  const auto told = workers.run(
      job,
      [&](const job::StageResult& result) {
        results.push_back(with_evidence(job, result));
        on_result(results.back());
      },
      should_stop);
  if (!told.ok()) { return told.error(); }
  return results;
}

class MadeUpWorkshop : public Workshop {
 public:
  agent::SyntheticWorkers workers;
  std::function<void(const job::Job&, const std::function<bool()>& should_stop)> before;  // a task begins
  std::atomic<int> tasks = 0;
  std::vector<job::Stage> first_stages;  // that each task began with

  Status prepare(const Setup&, const FetchPiece&, const std::function<bool()>&) override { return ok_status(); }
  Result<std::vector<job::StageResult>> run(const job::Job& job,
                                            const std::function<void(const job::StageResult&)>& on_result,
                                            const std::function<bool()>& should_stop) override {
    ++tasks;
    first_stages.push_back(job.stages.front());
    if (before) { before(job, should_stop); }
    return run_made_up(workers, job, on_result, should_stop);
  }
};

inline Setup made_up_setup(const job::Job& job) {
  Setup setup;
  setup.model.files = {{"config.json", 2, sha256_hex("{}")}};
  setup.job = job;
  setup.job.dense = true;
  setup.keep = false;
  return setup;
}

inline FleetOptions made_up_fleet(const job::Job& job) {
  FleetOptions options;
  options.listen = {"127.0.0.1", 0};
  options.token = "a token for tests only";
  options.build = kMadeUpBuild;
  options.setup = made_up_setup(job);
  options.run = "test";
  return options;
}

inline PilotOptions made_up_pilot(const Address& search, const std::string& name) {
  PilotOptions options;
  options.search = search;
  options.token = "a token for tests only";
  options.build = kMadeUpBuild;
  options.name = name;
  options.machine.node = "node-" + name;
  options.machine.device = "a made-up card";
  options.machine.threads = 64;
  options.patience_seconds = 20;
  options.first_pause_seconds = 0.05;
  return options;
}

// A worker in a thread of its own; told to go when this goes.
class Hand {
 public:
  Hand(PilotOptions options, Workshop& workshop) : options_(std::move(options)) {
    options_.wish = [this] { return wish_.load(); };
    thread_ = std::thread([this, &workshop] { end_ = run_pilot(options_, workshop); });
  }
  ~Hand() {
    wish(Wish::kEnd);
    if (thread_.joinable()) { thread_.join(); }
  }
  void wish(Wish wish) { wish_ = wish; }
  // Once it has ended.
  const Result<PilotEnd>& end() {
    if (thread_.joinable()) { thread_.join(); }
    return end_;
  }

 private:
  PilotOptions options_;
  std::atomic<Wish> wish_ = Wish::kNone;
  Result<PilotEnd> end_ = PilotEnd::kWished;
  std::thread thread_;
};

}  // namespace vortex::fleet
