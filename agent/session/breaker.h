#pragma once

#include <functional>
#include <string>

#include "agent/session/session.h"
#include "base/thread_annotations.h"

namespace vortex::agent {

// Waits while something outside is broken (an endpoint, the GPU), instead of ending the night: every fault in a row
// pauses twice as long, up to a minute; the third opens the breaker, which is an event, and so is that it closed again.
// Patience ends after half an hour of nothing but faults. Thread-safe.
class Breaker {
 public:
  // `enough`: ends a pause early, where more than that what runs is to be ended should.
  Breaker(Session& session, std::string what, std::function<bool()> enough = {})
      : session_(session), what_(std::move(what)), enough_(std::move(enough)) {}

  // After a fault of the environment. False: give up, with that error.
  bool wait(const Error& error);
  // After a success.
  void worked();

 private:
  Session& session_;
  std::string what_;
  std::function<bool()> enough_;
  Mutex mutex_;
  int faults_ VORTEX_GUARDED_BY(mutex_) = 0;     // in a row
  double waited_ VORTEX_GUARDED_BY(mutex_) = 0;  // seconds since the first of them
};

}  // namespace vortex::agent
