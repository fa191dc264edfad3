#include "agent/evaluate/pool.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "base/thread_annotations.h"

namespace vortex::agent {
namespace {

class Pool {
 public:
  Pool(size_t count, size_t threads) : count_(count), active_(threads) {}

  // Of one thread: task after task until none is left, or `may_start` says no.
  void work_on(const std::function<bool(size_t)>& may_start, const std::function<void(size_t)>& work) {
    MutexLock lock(mutex_);
    while (next_ < count_) {
      if (!may_start(next_)) {
        next_ = count_;
        break;
      }
      const size_t task = next_++;
      lock.unlock();
      work(task);
      lock.lock();
    }
    --active_;
    idle_.notify_all();
  }

  // Of the caller: ticks until no thread works any more.
  void wait(const std::function<void()>& tick) {
    MutexLock lock(mutex_);
    while (active_ > 0) {
      lock.unlock();
      tick();
      lock.lock();
      if (active_ > 0) { idle_.wait_for(mutex_, std::chrono::milliseconds(100)); }
    }
  }

 private:
  const size_t count_;
  Mutex mutex_;
  Condition idle_;
  size_t next_ VORTEX_GUARDED_BY(mutex_) = 0;
  size_t active_ VORTEX_GUARDED_BY(mutex_);
};

}  // namespace

void run_pool(size_t count, int workers, const std::function<bool(size_t)>& may_start,
              const std::function<void(size_t)>& work, const std::function<void()>& tick) {
  const size_t threads_wanted = std::min(count, static_cast<size_t>(std::max(workers, 1)));
  Pool pool(count, threads_wanted);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < threads_wanted; ++i) {
    threads.emplace_back([&] { pool.work_on(may_start, work); });
  }
  pool.wait(tick);
  for (std::thread& thread : threads) { thread.join(); }
}

}  // namespace vortex::agent
