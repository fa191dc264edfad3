// Whose turn it is on a GPU that several workers share: many may answer problems on it at once, each in its part of the
// memory, but who is timed has it alone, and all of its memory. Between its turns a worker holds no pool.
#pragma once

#include "base/process_lock.h"
#include "base/result.h"
#include "core/engine/engine.h"
#include "job/job.h"

namespace vortex::evals {

struct Session;

enum class DeviceUse {
  kNone,      // what a stage does is the host's, or it takes its turn by itself
  kTogether,  // beside others
  kAlone,
};

// One worker's side. Where the job inherits no lock the device is its own: every call does nothing.
class DeviceTurn {
 public:
  explicit DeviceTurn(const job::Job& job) : lock_(job.turn_descriptor), sharers_(job.device_sharers) {}

  bool is_shared() const { return lock_.is_there(); }

  // Waits for the turn, then sets the session's policy again in the memory that goes with it. Nothing where this is the
  // turn already. Errors: the policy's, as Engine::set_policy has them.
  Status take(Session& session, DeviceUse use);
  // Gives memory and turn back.
  void end(Session& session);

  // Seconds spent waiting so far.
  double waited() const { return lock_.waited(); }

 private:
  LockHolder lock_;
  int sharers_;
  DeviceUse use_ = DeviceUse::kNone;
};

}  // namespace vortex::evals
