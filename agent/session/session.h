#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/session/budget.h"
#include "agent/session/hooks.h"
#include "base/thread_annotations.h"
#include "db/store.h"
#include "study/options.h"

namespace vortex::agent {

// One session of a search, from its start or resume to its end: what its threads share. Holds the budget, knows whether
// to stop, keeps the first failure, and tells the user and the store what happens. Thread-safe.
class Session {
 public:
  Session(db::Store& store, const db::Run& run, const study::SearchOptions& options, const SearchHooks& hooks);

  Status load();
  db::Store& store() { return store_; }
  const db::Run& run() const { return run_; }
  const SearchHooks& hooks() const { return hooks_; }
  Budget& budget() { return budget_; }
  const Budget& budget() const { return budget_; }

  StopLevel stop() const { return stop_; }
  // Is nothing new to be started?
  bool ended() const;
  // Is what runs to be ended, now?
  bool must_kill() const;
  // Sleeps, in slices; returns early when what runs is to be ended or, with `enough`, when that says so.
  void pause(double seconds, const std::function<bool()>& enough = {}) const;
  // Something was left for the next session.
  void leave_unfinished() { unfinished_ = true; }

  // The first failure is the one that counts.
  void fail(Error error);
  Status status() const;

  // An event: a row, and news for whoever listens.
  void note(const std::string& kind, const nlohmann::json& detail);
  void message(const std::string& text);
  void candidate(const CandidateSummary& summary);
  void change_progress(const std::function<void(Progress&)>& change);

  // From the loop's thread, often: heartbeat, stop requests, display, stalls.
  void tick();
  // A tick, and has the session ended? For whatever the loop's thread waits for.
  bool tick_ended();

 private:
  Status read_stop_requests();
  void look_for_stall(double now);

  db::Store& store_;
  db::Run run_;
  const SearchHooks& hooks_;
  Budget budget_;
  double stall_seconds_;

  std::atomic<StopLevel> stop_ = StopLevel::kNone;
  std::atomic<bool> unfinished_ = false;
  std::atomic<bool> failed_ = false;
  double requests_read_ = 0;

  mutable Mutex status_mutex_;
  Status status_ VORTEX_GUARDED_BY(status_mutex_) = ok_status();

  mutable Mutex telling_mutex_;  // hooks that show are called under it, one at a time
  Progress progress_ VORTEX_GUARDED_BY(telling_mutex_);
  double last_news_ VORTEX_GUARDED_BY(telling_mutex_);
  bool stalled_ VORTEX_GUARDED_BY(telling_mutex_) = false;
};

}  // namespace vortex::agent
