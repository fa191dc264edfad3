#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "base/thread_annotations.h"
#include "fleet/pilot.h"

namespace vortex::fleet {

// One connection to a search, from the first word to the last. The caller's thread listens and beats; a second one does
// the tasks.
class Shift {
 public:
  enum class End { kLost, kDismissed, kWished };

  Shift(const PilotOptions& options, Workshop& workshop, const std::string& identity, Descriptor socket);
  ~Shift();
  Shift(const Shift&) = delete;
  Shift& operator=(const Shift&) = delete;

  // kLost: the search is to be dialled again. Errors as run_pilot's.
  Result<End> work();
  // The search has taken this worker.
  bool was_welcome() const { return welcome_; }
  // Why the connection is lost.
  const std::string& loss() const { return loss_; }

 private:
  // --- the listening thread
  Result<std::optional<End>> shake_hands();
  std::optional<Message> await_message(double seconds);
  std::optional<End> listen_once();
  std::optional<End> take(Message message);
  std::optional<End> take_wish();
  std::optional<End> lost(const std::string& why);
  void say_goodbye(const std::string& reason);
  void post(Message message) VORTEX_EXCLUDES(mutex_);

  // --- the working thread
  void do_tasks();
  void do_task(const Task& task);
  Result<std::string> fetch(int file, int64_t offset);
  void report(uint64_t lease, const job::StageResult& result);
  void wake() const;

  const PilotOptions& options_;
  Workshop& workshop_;
  const std::string& identity_;
  Channel channel_;
  Descriptor waker_;
  Setup setup_;
  bool welcome_ = false;
  bool told_to_drain_ = false;
  double beat_seconds_;
  double heard_;
  double told_;
  double looked_;
  std::string loss_;

  std::thread worker_;
  std::atomic<bool> over_ = false;        // nobody waits for a result any more
  std::atomic<uint64_t> stop_lease_ = 0;  // the task that is to end
  Mutex mutex_;
  Condition changed_;
  std::vector<Message> outbox_ VORTEX_GUARDED_BY(mutex_);
  std::optional<Task> task_ VORTEX_GUARDED_BY(mutex_);
  std::optional<Piece> piece_ VORTEX_GUARDED_BY(mutex_);
  std::optional<Error> unprepared_ VORTEX_GUARDED_BY(mutex_);  // why no task can be done here
};

}  // namespace vortex::fleet
