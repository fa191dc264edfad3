#include "kernels/cpu/parallel.h"

namespace vortex::cpu {

ThreadPool::ThreadPool(int threads) : threads_(threads < 1 ? 1 : threads) {
  if (threads_ > 1) {
    helpers_ = std::make_unique<std::thread[]>(static_cast<std::size_t>(threads_ - 1));
    for (int worker = 1; worker < threads_; ++worker) {
      helpers_[static_cast<std::size_t>(worker - 1)] = std::thread([this, worker] { serve(worker); });
    }
  }
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (int worker = 1; worker < threads_; ++worker) { helpers_[static_cast<std::size_t>(worker - 1)].join(); }
}

void ThreadPool::run(std::int64_t count, Body body, void* context) {
  body_ = body;
  context_ = context;
  count_ = count;
  pending_.store(threads_ - 1, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  for (int left = pending_.load(std::memory_order_acquire); left != 0;
       left = pending_.load(std::memory_order_acquire)) {
    pending_.wait(left, std::memory_order_acquire);
  }
}

void ThreadPool::work(int worker) const {
  const Range range = static_range(count_, worker, threads_);
  if (range.begin < range.end) { body_(context_, range.begin, range.end, worker); }
}

void ThreadPool::serve(int worker) {
  for (std::uint32_t seen = 0;;) {
    round_.wait(seen, std::memory_order_acquire);
    ++seen;  // rounds cannot overtake a worker: `run` waits for all of them
    if (stop_) { return; }
    work(worker);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) { pending_.notify_one(); }
  }
}

}  // namespace vortex::cpu
