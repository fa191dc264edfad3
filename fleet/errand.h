#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fleet/fleet.h"
#include "job/job.h"
#include "job/stage.h"
#include "sandbox/evidence_check.h"

namespace vortex::fleet {

// One job, taken up its stages by as many workers as it takes.
class Errand {
 public:
  Errand(Fleet& fleet, const job::Job& job, const std::function<void(const job::StageResult&)>& on_result,
         const std::function<bool()>& should_stop);

  Result<std::vector<job::StageResult>> run();

 private:
  enum class End {
    kFinished,  // every stage has its result, or one of them ended the climb
    kStopped,   // on request
    kFault,     // outside the candidate: `fault_`
  };

  End climb(Lease& lease);
  std::optional<End> take(Lease& lease, const Mail& mail);
  std::optional<End> take_event(Lease& lease, const std::string& payload);
  End stopped(const std::string& worker);
  End fault(Error error);
  bool finished() const;
  void keep(job::StageResult result);
  // For the stage that has none, because of what is no candidate's fault.
  void keep_error(const std::string& message, const nlohmann::json& node);

  Fleet& fleet_;
  job::Job job_;  // what its workers are asked; stages: those that are left
  const std::function<void(const job::StageResult&)>& on_result_;
  const std::function<bool()>& should_stop_;
  std::vector<job::Stage> stages_;
  std::vector<job::StageResult> results_;
  sandbox::EvidenceCheck check_;
  std::optional<Machine> machine_;  // that earlier stages ran on
  nlohmann::json node_;             // the present one, for evidence
  Error fault_;
  std::optional<job::StageResult> spoiled_;  // a result that blames the machine
  double stage_began_ = 0;
  bool asked_to_stop_ = false;
  bool ended_ = false;  // the worker is done with the task, or gone
};

}  // namespace vortex::fleet
