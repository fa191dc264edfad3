#include "kernels/cpu/parallel.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

namespace vortex::cpu {
namespace {

// Looks before a thread sleeps, some 20 to 40 us: a product of a small model is done by then, and falling asleep and
// being woken costs more than that.
constexpr int kLooks = 500;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
  static_assert(sizeof(word) == sizeof(std::uint32_t));
  syscall(SYS_futex, &word, operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
}

}  // namespace

void WaitWord::wait_while(std::uint32_t value) {
  for (int look = 0; look < kLooks; ++look) {
    if (load() != value) { return; }
    pause();
  }
  // Counted before the kernel compares the word: who changes it afterwards sees the sleeper.
  sleepers_.fetch_add(1);
  while (word_.load() == value) { futex(word_, FUTEX_WAIT, value); }
  sleepers_.fetch_sub(1);
}

void WaitWord::wake() {
  if (sleepers_.load() != 0) { futex(word_, FUTEX_WAKE, INT_MAX); }
}

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
  round_.add(1);
  round_.wake();
  for (int worker = 1; worker < threads_; ++worker) { helpers_[static_cast<std::size_t>(worker - 1)].join(); }
}

void ThreadPool::run(std::int64_t count, Body body, void* context) {
  body_ = body;
  context_ = context;
  count_ = count;
  pending_.store(static_cast<std::uint32_t>(threads_ - 1));
  round_.add(1);
  round_.wake();
  work(0);
  for (std::uint32_t left = pending_.load(); left != 0; left = pending_.load()) { pending_.wait_while(left); }
}

void ThreadPool::work(int worker) const {
  const Range range = static_range(count_, worker, threads_);
  if (range.begin < range.end) { body_(context_, range.begin, range.end, worker); }
}

void ThreadPool::serve(int worker) {
  for (std::uint32_t seen = 0;;) {
    round_.wait_while(seen);
    ++seen;  // rounds cannot overtake a worker: `run` waits for all of them
    if (stop_) { return; }
    work(worker);
    if (pending_.add(static_cast<std::uint32_t>(-1)) == 0) { pending_.wake(); }
  }
}

}  // namespace vortex::cpu
