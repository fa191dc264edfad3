#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "fleet/channel.h"
#include "fleet/lease.h"
#include "fleet/roster.h"
#include "fleet/setup.h"
#include "job/job.h"

namespace vortex::fleet {

struct FleetOptions {
  Address listen;
  std::string token;
  std::string build;  // of the vortex-worker programs that are taken: another one measures something else
  Setup setup;
  std::string run;                 // its name, for the roster
  std::string roster;              // file; empty: none
  bool own_threads = false;        // a task gets as many threads as its worker has, not as many as the job says
  bool one_card = false;           // only workers whose device is that of the first
  double silence_seconds = 75;     // that a worker may be silent for, twice what TCP takes to get over a cut of 30 s
  double beat_seconds = 5;         // between two signs of life
  double handshake_seconds = 20;   // until a stranger must have shown that it holds the token
  double patience_seconds = 1800;  // that a task waits for a worker at most
  // Of workers that came, were refused, left or were lost: what events are (docs/schema.md), from the fleet's thread.
  std::function<void(const std::string& kind, const nlohmann::json& detail)> on_event;
};

// The workers of a search that are on other machines, or on this one behind a socket. They dial in, at any time and
// in any number; each is lent to one task at a time. Thread-safe.
class Fleet {
 public:
  // Listens from here on. Errors: the environment's.
  static Result<std::unique_ptr<Fleet>> open(FleetOptions options);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  const Address& address() const { return options_.listen; }

  // As sandbox::run_job, on whichever worker is free. What goes wrong outside the candidate costs the stage that ran:
  // the climb goes on from there, on another worker like the first one. After three such faults the stage gets an error
  // of the environment, and where there are no workers for too long the call fails.
  Result<std::vector<job::StageResult>> run_job(const job::Job& job,
                                                const std::function<void(const job::StageResult&)>& on_result,
                                                const std::function<bool()>& should_stop);

  // Workers that are ready, idle or not.
  int ready() const;
  // Waits until at least one is; false: `should_stop` said so first.
  bool wait_for_first(const std::function<bool()>& should_stop) const;
  Roster roster() const;
  // Seconds that workers have been lent for since this was opened, of all taken together: a task that waits for one
  // takes none.
  double lent_seconds() const;

  // No more work: the workers say goodbye, or are left alone after some seconds. Nothing may be running.
  void close();

 private:
  friend class Errand;
  struct Line;  // to one worker

  explicit Fleet(FleetOptions options);

  // --- for a task
  // Lends a worker that is idle and, where `like` is there, has its device; null: nobody came in `seconds`, or stopped.
  std::shared_ptr<Lease> lend(const Machine* like, double seconds, const std::function<bool()>& should_stop);
  void give(const Lease& lease, const job::Job& job, const std::string& stage, std::string request);
  void stop(const Lease& lease);
  void tell_stage(const Lease& lease, const std::string& stage);
  // The worker has ended the task and is free again: after a rest, where there was a fault outside the candidate.
  void give_back(const Lease& lease, const std::string& fault);
  // The worker cannot be used any more: its connection ends.
  void drop(const Lease& lease, const std::string& why);

  // --- the thread of the network
  void serve();
  std::vector<Line*> wait_for_traffic(bool& dialled) const;
  void watch(int change, int descriptor, uint32_t events, void* whose) const;
  void settle_lines() VORTEX_REQUIRES(mutex_);
  void answer_dial(double now) VORTEX_REQUIRES(mutex_);
  void look_at_clocks(double now) VORTEX_REQUIRES(mutex_);
  void hear(Line& line, double now) VORTEX_REQUIRES(mutex_);
  void take(Line& line, Message message, double now) VORTEX_REQUIRES(mutex_);
  void take_hello(Line& line, const Hello& hello) VORTEX_REQUIRES(mutex_);
  void take_of_lease(Line& line, uint64_t lease, Mail mail) VORTEX_REQUIRES(mutex_);
  void take_bye(Line& line, const Bye& bye) VORTEX_REQUIRES(mutex_);
  std::optional<Error> objection(const Line& line, const Hello& hello) const VORTEX_REQUIRES(mutex_);
  void send_piece(Line& line, const Want& want) VORTEX_REQUIRES(mutex_);
  void lose(Line& line, const std::string& why) VORTEX_REQUIRES(mutex_);
  void end_task(Line& line, const std::string& fault) VORTEX_REQUIRES(mutex_);
  void note(const std::string& kind, const Line& line, const std::string& message) VORTEX_REQUIRES(mutex_);
  Line* line_of(const Lease& lease) VORTEX_REQUIRES(mutex_);
  void count_lent(double now, int change) VORTEX_REQUIRES(mutex_);
  Roster look(double now) const VORTEX_REQUIRES(mutex_);
  void wake() const;

  FleetOptions options_;
  std::string setup_text_;
  Descriptor listener_;
  Descriptor waker_;
  Descriptor watcher_;  // of these two and all lines
  std::thread thread_;

  mutable Mutex mutex_;
  mutable Condition changed_;  // a worker is free, or the fleet closes
  std::list<Line> lines_ VORTEX_GUARDED_BY(mutex_);
  std::map<std::string, NodeView> nodes_ VORTEX_GUARDED_BY(mutex_);
  std::string first_device_ VORTEX_GUARDED_BY(mutex_);
  std::string first_units_ VORTEX_GUARDED_BY(mutex_);
  uint64_t next_lease_ VORTEX_GUARDED_BY(mutex_) = 1;
  double last_look_ VORTEX_GUARDED_BY(mutex_) = 0;
  int lent_ VORTEX_GUARDED_BY(mutex_) = 0;             // workers
  double lent_seconds_ VORTEX_GUARDED_BY(mutex_) = 0;  // until lent_counted_
  double lent_counted_ VORTEX_GUARDED_BY(mutex_) = 0;
  std::set<std::string> refusals_ VORTEX_GUARDED_BY(mutex_);  // told of once
  bool is_full_ VORTEX_GUARDED_BY(mutex_) = false;            // of strangers: nobody else is let in
  bool closing_ VORTEX_GUARDED_BY(mutex_) = false;
  bool closed_ VORTEX_GUARDED_BY(mutex_) = false;
  // What on_event is to be told once the lock is free.
  std::vector<std::pair<std::string, nlohmann::json>> news_ VORTEX_GUARDED_BY(mutex_);
};

}  // namespace vortex::fleet
