#pragma once

#include <condition_variable>
#include <mutex>

// What locks guard, in words that clang checks (scripts/check_threads.sh): a member that is guarded cannot be touched
// without its lock. Other compilers skip the words. https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#if defined(__clang__)
#define VORTEX_THREADS(attribute) __attribute__((attribute))
#else
#define VORTEX_THREADS(attribute)
#endif

// Of a member: read and written only under `mutex`.
#define VORTEX_GUARDED_BY(mutex) VORTEX_THREADS(guarded_by(mutex))
// Of a function: called under the mutexes; or never under them, as it takes them itself.
#define VORTEX_REQUIRES(...) VORTEX_THREADS(requires_capability(__VA_ARGS__))
#define VORTEX_EXCLUDES(...) VORTEX_THREADS(locks_excluded(__VA_ARGS__))

namespace vortex {

// std::mutex, as the annotations need it.
class VORTEX_THREADS(capability("mutex")) Mutex {
 public:
  void lock() VORTEX_THREADS(acquire_capability()) { mutex_.lock(); }
  void unlock() VORTEX_THREADS(release_capability()) { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

// Holds a mutex until the end of its scope, with breaks if need be.
class VORTEX_THREADS(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) VORTEX_THREADS(acquire_capability(mutex)) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() VORTEX_THREADS(release_capability()) {
    if (held_) { mutex_.unlock(); }
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void unlock() VORTEX_THREADS(release_capability()) {
    held_ = false;
    mutex_.unlock();
  }
  void lock() VORTEX_THREADS(acquire_capability()) {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// std::condition_variable for a Mutex that the caller holds; wait in a loop over what is waited for.
class Condition {
 public:
  void wait(Mutex& mutex) VORTEX_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Gives up after `time`, a std::chrono duration.
  template <typename Time>
  void wait_for(Mutex& mutex, Time time) VORTEX_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait_for(lock, time);
    lock.release();
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace vortex
