#include "agent/session/breaker.h"

#include <algorithm>
#include <cmath>

namespace vortex::agent {
namespace {

constexpr double kFirstPause = 1;  // seconds
constexpr double kLongestPause = 60;
constexpr double kPatience = 30 * 60;
constexpr int kFaultsToOpen = 3;

}  // namespace

bool Breaker::wait(const Error& error) {
  if (db::is_lasting(error)) { return false; }
  double pause = 0;
  bool opens = false;
  {
    const MutexLock guard(mutex_);
    if (waited_ >= kPatience) { return false; }
    pause = std::min(kLongestPause, kFirstPause * std::pow(2.0, faults_));
    waited_ += pause;
    opens = ++faults_ == kFaultsToOpen;
  }
  if (opens) { session_.note("breaker-opened", {{"what", what_}, {"message", error.message}}); }
  session_.message(what_ + ": " + error.message + "; trying again in " + std::to_string(std::lround(pause)) + " s");
  session_.pause(pause, enough_);
  return !session_.must_kill() && !(enough_ && enough_());
}

void Breaker::worked() {
  double waited = 0;
  {
    const MutexLock guard(mutex_);
    if (faults_ >= kFaultsToOpen) { waited = waited_; }
    faults_ = 0;
    waited_ = 0;
  }
  if (waited > 0) { session_.note("breaker-closed", {{"what", what_}, {"seconds", waited}}); }
}

}  // namespace vortex::agent
