#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "base/thread_annotations.h"

namespace vortex::agent {

// Does tasks, so many at once at most, in the order in which they were given. Tasks come in lots; several may be under
// way. ThreadPool does them on threads; a simulation brings another one (tests/agent/simulated_pool.h).
class Pool {
 public:
  struct Task {
    // Asked before it begins, of one task at a time; once it says no, no task that waits is begun.
    std::function<bool()> may_start;
    std::function<void()> work;
  };

  virtual ~Pool() = default;
  // Returns the lot's number at once. The lot goes before all tasks that wait where it is `urgent`, else behind them.
  virtual int64_t start(std::vector<Task> lot, bool urgent) = 0;
  // Returns when all tasks of the lot that were begun have ended, and no other of it will be. Calls `tick` once, and
  // about ten times a second from then on, on the caller's thread.
  virtual void wait(int64_t lot, const std::function<void()>& tick) = 0;
};

// Its threads come as they are needed and stay until it goes, which begins nothing more and waits for what runs.
class ThreadPool final : public Pool {
 public:
  explicit ThreadPool(int workers) : workers_(static_cast<size_t>(workers > 1 ? workers : 1)) {}
  ~ThreadPool() override;

  int64_t start(std::vector<Task> lot, bool urgent) override;
  void wait(int64_t lot, const std::function<void()>& tick) override;

 private:
  struct Waiting {
    int64_t lot = 0;
    Task task;
  };

  void work_on();
  void end_one(int64_t lot) VORTEX_REQUIRES(mutex_);
  void drop_waiting() VORTEX_REQUIRES(mutex_);

  const size_t workers_;
  Mutex mutex_;
  Condition given_;  // a task waits, or the pool goes
  Condition ended_;  // a lot has
  std::deque<Waiting> waiting_ VORTEX_GUARDED_BY(mutex_);
  std::map<int64_t, size_t> open_ VORTEX_GUARDED_BY(mutex_);  // lot -> its tasks that have not ended
  int64_t lots_ VORTEX_GUARDED_BY(mutex_) = 0;
  size_t idle_ VORTEX_GUARDED_BY(mutex_) = 0;  // threads
  bool going_ VORTEX_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;  // of the thread that owns the pool
};

}  // namespace vortex::agent
