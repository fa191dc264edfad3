#pragma once

#include <optional>
#include <vector>

#include "sandbox/listener.h"

namespace vortex::sandbox {

// Follows one worker's generation: every token must be one of a prompt that goes on, in the run that is due.
class GenerationListener : public Listener {
 public:
  GenerationListener(const job::GenerationJob& job, const ExecutorOptions& options,
                     const job::GenerationEvents& events);

  bool finished() const override { return refusal_.has_value() || runs_.empty(); }

  // What it came to, once the worker has ended in this way.
  Status outcome(Ending ending, const Exit& exit) const;

 private:
  void take_event(job::Event event, double now) override;
  double allowance() const override;
  Ending silence() const override { return Ending::kSilent; }

  void take_token(const job::NewToken& token);
  void take_run(const job::GenerationRun& run);
  void start_run();

  const job::GenerationJob& job_;
  const job::GenerationEvents& events_;
  std::vector<bool> runs_;  // not yet finished, the last one first: is it dense?
  std::vector<int> left_;   // tokens that each prompt may still get in this run
  std::optional<Error> refusal_;
};

}  // namespace vortex::sandbox
