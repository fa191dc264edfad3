#pragma once

#include <string>

#include "job/job.h"
#include "job/stage.h"

namespace vortex::sandbox {

// What the results of one worker must agree on with each other, with what it was asked and with what can be worked out
// again from them. A worker that measured something else than it was to measure is caught here, whether a candidate
// made it do so or a bug of ours.
class EvidenceCheck {
 public:
  explicit EvidenceCheck(const job::Job& job) : job_(job) {}

  // Why a result is not to be believed, as the end of a sentence about it; empty: nothing speaks against it. `build` is
  // what the worker called its program, `most` the seconds that the stage can have taken by our own clock.
  std::string fault(const job::StageResult& result, const std::string& build, double most);

 private:
  std::string identity_fault(const nlohmann::json& evidence, const std::string& build);
  std::string outcomes_fault(const job::StageResult& result) const;

  const job::Job& job_;
  nlohmann::json first_;  // identity in the first result
};

}  // namespace vortex::sandbox
