#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "agent/propose/novelty.h"
#include "agent/propose/proposer.h"
#include "base/result.h"
#include "db/store.h"
#include "study/options.h"

namespace vortex::agent {

// A candidate that passed the check and the novelty gate.
struct Planned {
  int64_t candidate = 0;
  db::CandidateState state = db::CandidateState::kProposed;  // as stored
  vflow::Policy policy;
  vflow::PolicySource source;
  bool control = false;
};

// Does this proposal belong to the control arm? A fixed `share` of those after the seeds does, evenly spread.
bool is_control(int64_t index, size_t seeds, double share);

// Fills batches: takes candidates that an earlier session proposed from their rows, asks the proposer for the others,
// and stores every proposal, refused ones too, the moment it is made.
class Planner {
 public:
  Planner(db::Store& store, int64_t run, const study::SearchOptions& options, const vflow::ModelGeometry& model,
          Proposer& proposer, const std::vector<Seed>& seeds)
      : store_(store),
        run_(run),
        options_(options),
        model_(model),
        proposer_(proposer),
        seeds_(seeds),
        novelty_(options.novelty) {}

  // Reads what is there already. Call once, before the first plan().
  Status load();

  // The candidate of one slot, or nothing when every draw was refused or `may_propose` says no.
  Result<std::optional<Planned>> plan(int64_t batch, int64_t slot, const std::vector<Parent>& front,
                                      const std::vector<Parent>& passed, const std::function<bool()>& may_propose);

  Budget* budget = nullptr;
  // Speed over dense attention by the cost model, kept as a metric of the check stage.
  std::function<double(const vflow::Policy&)> modelled_speed;
  // What proposers read parents by.
  std::function<Result<std::shared_ptr<const vflow::Policy>>(int64_t candidate)> read_policy;
  // Called with every proposal that was refused before it reached a worker.
  std::function<void(int64_t candidate, db::Origin origin, const job::StageResult&)> on_refused;

 private:
  // What the check and the novelty gate say of a proposal.
  struct Judgement {
    std::vector<job::StageResult> stages;  // the last one is the one that refused it, where one did
    std::optional<vflow::Policy> policy;   // nothing: refused
    Fingerprint fresh;                     // where it checks
    bool refused() const { return !policy; }
  };
  Judgement judge(db::Candidate& row, const vflow::PolicySource& source,
                  std::optional<vflow::CheckReport> report) const;
  Result<std::optional<Planned>> admit_new(db::Candidate row, Proposal proposal);
  Result<std::optional<Planned>> admit_known(db::Candidate row);
  std::optional<Planned> planned(const db::Candidate& row, vflow::PolicySource source, Judgement judgement);
  Status record_missing(const db::Candidate& row, const std::vector<job::StageResult>& results);

  db::Store& store_;
  int64_t run_;
  const study::SearchOptions& options_;
  vflow::ModelGeometry model_;
  Proposer& proposer_;
  const std::vector<Seed>& seeds_;
  std::map<std::tuple<int64_t, int64_t, int64_t>, db::Candidate> rows_;  // by (batch, slot, draw)
  NoveltyGate novelty_;
};

}  // namespace vortex::agent
