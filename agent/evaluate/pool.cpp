#include "agent/evaluate/pool.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace vortex::agent {

void run_pool(size_t count, int workers, const std::function<bool(size_t)>& may_start,
              const std::function<void(size_t)>& work, const std::function<void()>& tick) {
  std::mutex mutex;
  std::condition_variable idle;
  size_t next = 0;
  const size_t threads_wanted = std::min(count, static_cast<size_t>(std::max(workers, 1)));
  size_t active = threads_wanted;

  const auto worker = [&] {
    std::unique_lock lock(mutex);
    while (next < count) {
      if (!may_start(next)) {
        next = count;
        break;
      }
      const size_t task = next++;
      lock.unlock();
      work(task);
      lock.lock();
    }
    --active;
    idle.notify_all();
  };

  std::vector<std::thread> threads;
  for (size_t i = 0; i < threads_wanted; ++i) { threads.emplace_back(worker); }
  {
    std::unique_lock lock(mutex);
    while (active > 0) {
      lock.unlock();
      tick();
      lock.lock();
      idle.wait_for(lock, std::chrono::milliseconds(100), [&] { return active == 0; });
    }
  }
  for (std::thread& thread : threads) { thread.join(); }
}

}  // namespace vortex::agent
