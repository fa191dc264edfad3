#include "agent/evaluate/pool.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace vortex::agent {

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(mutex_);
    going_ = true;
    drop_waiting();
  }
  given_.notify_all();
  for (std::thread& thread : threads_) { thread.join(); }
}

int64_t ThreadPool::start(std::vector<Task> lot, bool urgent) {
  size_t wanted = 0;
  int64_t number = 0;
  {
    const MutexLock lock(mutex_);
    number = ++lots_;
    if (!lot.empty()) { open_[number] = lot.size(); }
    std::vector<Waiting> all;
    for (Task& task : lot) { all.push_back({number, std::move(task)}); }
    waiting_.insert(urgent ? waiting_.begin() : waiting_.end(), std::make_move_iterator(all.begin()),
                    std::make_move_iterator(all.end()));
    wanted = waiting_.size() - std::min(waiting_.size(), idle_);
  }
  given_.notify_all();
  for (; wanted > 0 && threads_.size() < workers_; --wanted) {
    threads_.emplace_back([this] { work_on(); });
  }
  return number;
}

void ThreadPool::wait(int64_t lot, const std::function<void()>& tick) {
  tick();
  MutexLock lock(mutex_);
  while (open_.contains(lot)) {
    ended_.wait_for(mutex_, std::chrono::milliseconds(100));
    if (!open_.contains(lot)) { break; }
    lock.unlock();
    tick();
    lock.lock();
  }
}

// Of one thread: task after task until the pool goes.
void ThreadPool::work_on() {
  MutexLock lock(mutex_);
  for (;;) {
    ++idle_;
    while (waiting_.empty() && !going_) { given_.wait(mutex_); }
    --idle_;
    if (waiting_.empty()) { return; }
    if (!waiting_.front().task.may_start()) {
      drop_waiting();
      continue;
    }
    {
      const Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      next.task.work();
      lock.lock();
      end_one(next.lot);
    }
  }
}

void ThreadPool::end_one(int64_t lot) {
  const auto open = open_.find(lot);
  if (--open->second > 0) { return; }
  open_.erase(open);
  ended_.notify_all();
}

void ThreadPool::drop_waiting() {
  for (const Waiting& waiting : waiting_) { end_one(waiting.lot); }
  waiting_.clear();
}

}  // namespace vortex::agent
