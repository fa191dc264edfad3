#pragma once

#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/thread_annotations.h"

namespace vortex::agent {

struct NotifyOptions {
  std::string run;      // its name
  std::string command;  // run by /bin/sh with the event as JSON in VORTEX_EVENT; empty: none
  std::string webhook;  // URL that the event is posted to as JSON; empty: none
  double pause = 60;    // least seconds between two notices of one kind; those in between are counted
};

// Tells somebody who is not looking: that a search started (so that one who cannot be told is known at once), finished,
// failed or was interrupted, stalls, used up half, most or all of a budget, waits for something that is down, or has a
// new point on its front. Events of other kinds are ignored. Never blocks the search: notices go out from a thread of
// their own, and one that cannot be delivered is reported to `on_message` and dropped. The JSON: {"event", "run",
// "detail", "suppressed"}.
class Notifier {
 public:
  Notifier(NotifyOptions options, std::function<double()> clock, std::function<void(const std::string&)> on_message);
  // Delivers what waits, each within its time limit.
  ~Notifier();
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void event(const std::string& kind, const nlohmann::json& detail);

 private:
  void deliver_all();
  void deliver(const nlohmann::json& notice);

  NotifyOptions options_;
  std::function<double()> clock_;
  std::function<void(const std::string&)> on_message_;

  Mutex mutex_;
  Condition woken_;
  std::deque<nlohmann::json> waiting_ VORTEX_GUARDED_BY(mutex_);
  struct Kind {
    double last = 0;  // when one was sent
    bool sent = false;
    int suppressed = 0;  // since then
  };
  std::map<std::string, Kind> kinds_ VORTEX_GUARDED_BY(mutex_);
  bool closing_ VORTEX_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace vortex::agent
