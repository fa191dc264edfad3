#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "fleet/message.h"

namespace vortex::fleet {

// What comes of a task, in order.
struct Mail {
  enum class Kind {
    kEvent,  // `event` of the worker process
    kDone,   // its last event was sent before
    kFault,  // no worker process could be started there: `error`
    kLost,   // the worker is gone, or what it said cannot be used: `error`
  };
  Kind kind = Kind::kEvent;
  std::string event;
  Error error;
};

// One worker, lent for one task. The network's thread puts mail in, the task's thread takes it out.
class Lease {
 public:
  Lease(uint64_t number, std::string worker, std::string build, Machine machine)
      : number_(number), worker_(std::move(worker)), build_(std::move(build)), machine_(std::move(machine)) {}

  uint64_t number() const { return number_; }
  const std::string& worker() const { return worker_; }
  const std::string& build() const { return build_; }
  const Machine& machine() const { return machine_; }

  void put(Mail mail) {
    const MutexLock lock(mutex_);
    mail_.push_back(std::move(mail));
    came_.notify_one();
  }
  // Waits `time` at most, a std::chrono duration.
  template <typename Time>
  std::optional<Mail> take(Time time) {
    const MutexLock lock(mutex_);
    if (mail_.empty()) { came_.wait_for(mutex_, time); }
    if (mail_.empty()) { return std::nullopt; }
    Mail first = std::move(mail_.front());
    mail_.pop_front();
    return first;
  }

 private:
  const uint64_t number_;
  const std::string worker_;
  const std::string build_;
  const Machine machine_;
  Mutex mutex_;
  Condition came_;
  std::deque<Mail> mail_ VORTEX_GUARDED_BY(mutex_);
};

}  // namespace vortex::fleet
