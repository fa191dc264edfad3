#pragma once

#include <cstdint>
#include <string>

#include "agent/session/hooks.h"
#include "base/thread_annotations.h"

namespace vortex::cli {

// A running search as JSON lines on stdout, each written when its row is stored: {"kind": "stage"}, {"kind":
// "candidate"} and {"kind": "event"}. Thread-safe.
class SearchStream {
 public:
  explicit SearchStream(std::string run) : run_(std::move(run)) {}

  void stage(int64_t candidate, const std::string& stage, const job::StageResult& result);
  void candidate(const agent::CandidateSummary& summary);
  void event(const std::string& what, const nlohmann::json& detail);

 private:
  Mutex mutex_;  // lines go out whole
  const std::string run_;
};

}  // namespace vortex::cli
