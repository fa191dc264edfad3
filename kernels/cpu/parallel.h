#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>

namespace vortex::cpu {

// A number that threads wait for to change. They look at it for some microseconds and then sleep in a futex.
// std::atomic's wait yields the processor before it sleeps: where there are more threads than cores each yield gives a
// whole time slice to a stranger, and threads that meet after every product nearly stand still.
class WaitWord {
 public:
  std::uint32_t load() const { return word_.load(std::memory_order_acquire); }
  void store(std::uint32_t value) { word_.store(value, std::memory_order_release); }
  // Adds and returns the sum; wakes nobody.
  std::uint32_t add(std::uint32_t addend) { return word_.fetch_add(addend) + addend; }
  // Returns once the word is another one.
  void wait_while(std::uint32_t value);
  // Wakes all who sleep. Whoever changes the word calls it, or sleepers stay asleep.
  void wake();

 private:
  std::atomic<std::uint32_t> word_{0};
  std::atomic<std::uint32_t> sleepers_{0};
};

// A small persistent pool of threads, owned by whoever makes it. The calling thread is worker 0. Idle threads sleep.
// Work is cut statically into one contiguous range a worker, so which worker does what depends on nothing but
// (count, threads). One `run` at a time; not reentrant.
class ThreadPool {
 public:
  // threads >= 1; 1 starts no thread at all.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // body(context, begin, end, worker) for the range of each worker whose range is not empty; returns when all are
  // done. The body must not throw.
  using Body = void (*)(void* context, std::int64_t begin, std::int64_t end, int worker);
  void run(std::int64_t count, Body body, void* context);

 private:
  void serve(int worker);
  void work(int worker) const;

  int threads_;
  std::unique_ptr<std::thread[]> helpers_;
  Body body_ = nullptr;
  void* context_ = nullptr;
  std::int64_t count_ = 0;
  bool stop_ = false;
  WaitWord round_;
  WaitWord pending_;
};

// The half-open range of worker `index` of `workers` over [0, count).
struct Range {
  std::int64_t begin;
  std::int64_t end;
};
constexpr Range static_range(std::int64_t count, int index, int workers) {
  return {count * index / workers, count * (index + 1) / workers};
}

// Calls body(begin, end, worker) over [0, count) on the pool; on the calling thread when `pool` is null.
template <typename Function>
void parallel_for(ThreadPool* pool, std::int64_t count, Function&& body) {
  if (count <= 0) { return; }
  if (pool == nullptr || pool->threads() == 1 || count == 1) {
    body(std::int64_t{0}, count, 0);
    return;
  }
  using Callable = std::remove_reference_t<Function>;
  pool->run(
      count,
      [](void* context, std::int64_t begin, std::int64_t end, int worker) {
        (*static_cast<Callable*>(context))(begin, end, worker);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace vortex::cpu
