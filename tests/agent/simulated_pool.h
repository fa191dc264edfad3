#pragma once

#include <deque>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "agent/evaluate/pool.h"
#include "base/processor_clock.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {

// What a made-up task takes: a climb `seconds` and up to `spread` of them more or less, fixed for its policy; one stage
// alone, which is a round of further problems or a speed, takes half.
inline double task_seconds(const job::Job& job, double seconds, double spread) {
  const std::string hash = sha256_hex(job.module_text + job.config_text + std::to_string(job.task.seed));
  const double off = spread * (2 * Rng(std::stoull(hash.substr(0, 15), nullptr, 16)).uniform() - 1);
  return seconds * (1 + off) * (job.stages.size() == 1 ? 0.5 : 1);
}

// Workers on a made-up clock, on the caller's thread: a task is done when it begins, and its worker is free again once
// what it took has passed. The clock jumps to the next end where the search waits; while the search is at work it goes
// by processor time, or stands still.
class SimulatedPool final : public Pool {
 public:
  SimulatedPool(int workers, bool work_takes_time) : free_(workers), work_takes_time_(work_takes_time) {}

  double now() const { return jumped_ + (work_takes_time_ ? work_seconds() : 0.0); }
  // Processor time of the search so far.
  double work_seconds() const { return thread_seconds() - began_ - outside_; }
  double busy_seconds() const { return busy_seconds_; }
  int64_t tasks() const { return tasks_; }

  // Of a job's run: it takes so many seconds of its worker.
  void take(double seconds) { length_ += seconds; }
  // Of a job's run: processor time that is a worker's.
  void leave_out(double cpu_seconds) { outside_ += cpu_seconds; }

  int64_t start(std::vector<Task> lot, bool urgent) override {
    pass(now());
    const int64_t number = ++lots_;
    if (!lot.empty()) { open_[number] = lot.size(); }
    std::deque<Waiting> all;
    for (Task& task : lot) { all.push_back({number, std::move(task)}); }
    waiting_.insert(urgent ? waiting_.begin() : waiting_.end(), all.begin(), all.end());
    begin(now());
    return number;
  }

  void wait(int64_t lot, const std::function<void()>& tick) override {
    tick();
    for (pass(now()); open_.contains(lot) && !busy_.empty(); pass(now())) {
      jumped_ += std::max(0.0, busy_.top().end - now());
      tick();
    }
  }

 private:
  struct Waiting {
    int64_t lot = 0;
    Task task;
  };
  struct Busy {
    double end = 0;
    int64_t number = 0;  // of those that end at once, the first to begin ends first
    int64_t lot = 0;
    bool operator<(const Busy& other) const { return std::pair(end, number) > std::pair(other.end, other.number); }
  };

  // Ends what has ended by `time`; its workers went on then with what waited.
  void pass(double time) {
    while (!busy_.empty() && busy_.top().end <= time) {
      const Busy first = busy_.top();
      busy_.pop();
      ++free_;
      end_one(first.lot);
      begin(first.end);
    }
  }

  void begin(double at) {
    while (free_ > 0 && !waiting_.empty()) {
      if (!waiting_.front().task.may_start()) {
        for (const Waiting& waiting : waiting_) { end_one(waiting.lot); }
        waiting_.clear();
        return;
      }
      const Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      length_ = 0;
      next.task.work();
      --free_;
      busy_.push({at + length_, ++tasks_, next.lot});
      busy_seconds_ += length_;
    }
  }

  void end_one(int64_t lot) {
    if (--open_[lot] == 0) { open_.erase(lot); }
  }

  int free_;
  bool work_takes_time_;
  double began_ = thread_seconds();
  double outside_ = 0;
  double jumped_ = 0;
  double length_ = 0;
  double busy_seconds_ = 0;
  int64_t tasks_ = 0;
  int64_t lots_ = 0;
  std::deque<Waiting> waiting_;
  std::map<int64_t, size_t> open_;
  std::priority_queue<Busy> busy_;
};

// Hooks of a search on a simulated pool.
inline SearchHooks simulated_hooks(SyntheticWorkers& workers, SimulatedPool& pool, double seconds, double spread) {
  SearchHooks hooks = test_hooks(workers, nullptr);
  hooks.pool = &pool;
  hooks.clock = [&pool] { return pool.now(); };
  hooks.sleep = [](double) {};
  hooks.run_job = [&workers, &pool, seconds, spread](const job::Job& job, const auto& on_result,
                                                     const auto& should_stop) {
    const double cpu = thread_seconds();
    auto results = workers.run(
        job, [](const job::StageResult&) {}, should_stop);
    pool.take(task_seconds(job, seconds, spread));
    pool.leave_out(thread_seconds() - cpu);
    for (const job::StageResult& result : *results) { on_result(result); }
    return results;
  };
  return hooks;
}

}  // namespace vortex::agent
