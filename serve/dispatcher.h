#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/thread_annotations.h"
#include "core/engine/session.h"

namespace vortex::serve {

// One policy that is served: its name, and how to begin a session of the engine that runs it.
struct Lane {
  std::string name;  // "dense", or the policy's
  std::function<std::unique_ptr<engine::Session>()> open;
};

// Work that clients wait for.
struct Work {
  engine::LiveRequest request;  // its id is set by submit()
  std::function<void(const Error&)> on_error;
};

// The one thread that every engine runs on. Policies take turns, a round each: requests of one policy decode together,
// and those of another beside them. Callbacks are called on that thread. All functions may be called from any thread.
class Dispatcher {
 public:
  // `most` requests of a lane may be there at a time, running or waiting.
  Dispatcher(std::vector<Lane> lanes, int most);
  // Ends whatever runs, without a word to it.
  ~Dispatcher();

  // Takes all of `work` for a lane, or none where that has no room. Gives the id of the first; the others' follow it.
  std::optional<int64_t> submit(size_t lane, std::vector<Work> work);
  // Ends a request, if it still goes on: none of its callbacks is called any more once that has reached the thread.
  void cancel(int64_t id);
  // Calls `pong` from the thread after the round that it is in.
  void ping(std::function<void()> pong);

  size_t lanes() const { return lanes_.size(); }
  const std::string& name(size_t lane) const { return lanes_[lane].name; }
  std::vector<engine::SessionUse> use()
      const;                // of each lane, after the newest round; what just came counts as waiting
  int outstanding() const;  // requests of all lanes

 private:
  struct Entry {
    size_t lane = 0;
    Work work;
  };
  struct Incoming {
    std::vector<Entry> entries;
    std::vector<int64_t> cancelled;
    std::vector<std::function<void()>> pings;
    bool is_empty() const { return entries.empty() && cancelled.empty() && pings.empty(); }
  };
  struct Alive {
    size_t lane = 0;
    std::function<void(const Error&)> on_error;
  };

  void run();
  bool take(Incoming& incoming);
  void begin(Entry entry);
  void end(int64_t id);
  void fail_lane(size_t lane, const Error& error);
  void publish();

  const std::vector<Lane> lanes_;
  const int most_;

  mutable Mutex mutex_;
  Condition changed_;
  Incoming incoming_ VORTEX_GUARDED_BY(mutex_);
  std::vector<int> outstanding_ VORTEX_GUARDED_BY(mutex_);  // [lane]
  std::vector<engine::SessionUse> use_ VORTEX_GUARDED_BY(mutex_);
  int64_t next_id_ VORTEX_GUARDED_BY(mutex_) = 1;
  bool stopping_ VORTEX_GUARDED_BY(mutex_) = false;

  // Of the thread alone.
  std::vector<std::unique_ptr<engine::Session>> sessions_;
  std::map<int64_t, Alive> alive_;
  std::thread thread_;
};

}  // namespace vortex::serve
