#include "serve/dispatcher.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace vortex::serve {

Dispatcher::Dispatcher(std::vector<Lane> lanes, int most)
    : lanes_(std::move(lanes)), most_(most), outstanding_(lanes_.size(), 0), use_(lanes_.size()) {
  for (const Lane& lane : lanes_) { sessions_.push_back(lane.open()); }
  publish();
  thread_ = std::thread([this] { run(); });
}

Dispatcher::~Dispatcher() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<int64_t> Dispatcher::submit(size_t lane, std::vector<Work> work) {
  int64_t first = 0;
  {
    const MutexLock lock(mutex_);
    if (outstanding_[lane] + static_cast<int64_t>(work.size()) > most_) { return std::nullopt; }
    outstanding_[lane] += static_cast<int>(work.size());
    first = next_id_;
    for (Work& one : work) {
      one.request.id = next_id_++;
      incoming_.entries.push_back({lane, std::move(one)});
    }
  }
  changed_.notify_all();
  return first;
}

void Dispatcher::cancel(int64_t id) {
  {
    const MutexLock lock(mutex_);
    incoming_.cancelled.push_back(id);
  }
  changed_.notify_all();
}

void Dispatcher::ping(std::function<void()> pong) {
  {
    const MutexLock lock(mutex_);
    incoming_.pings.push_back(std::move(pong));
  }
  changed_.notify_all();
}

std::vector<engine::SessionUse> Dispatcher::use() const {
  const MutexLock lock(mutex_);
  std::vector<engine::SessionUse> use = use_;
  for (size_t lane = 0; lane < use.size(); ++lane) {
    use[lane].waiting = std::max(0, outstanding_[lane] - use[lane].running);
  }
  return use;
}

int Dispatcher::outstanding() const {
  const MutexLock lock(mutex_);
  return std::accumulate(outstanding_.begin(), outstanding_.end(), 0);
}

// Waits for something to do; false: the end.
bool Dispatcher::take(Incoming& incoming) {
  const MutexLock lock(mutex_);
  while (!stopping_ && incoming_.is_empty() && alive_.empty()) { changed_.wait(mutex_); }
  incoming = std::exchange(incoming_, {});
  return !stopping_;
}

void Dispatcher::begin(Entry entry) {
  const int64_t id = entry.work.request.id;
  alive_[id] = {entry.lane, std::move(entry.work.on_error)};
  auto& on_token = entry.work.request.on_token;
  on_token = [this, id, told = std::move(on_token)](engine::LiveToken token) {
    const bool last = token.last;
    if (told) { told(std::move(token)); }
    if (last) { end(id); }
  };
  const Status taken = sessions_[entry.lane]->submit(std::move(entry.work.request));
  if (taken.ok()) { return; }
  const auto on_error = std::move(alive_[id].on_error);
  end(id);
  if (on_error) { on_error(taken.error()); }
}

// Forgets a request; one that is gone already is passed over.
void Dispatcher::end(int64_t id) {
  const auto found = alive_.find(id);
  if (found == alive_.end()) { return; }
  const size_t lane = found->second.lane;
  alive_.erase(found);
  const MutexLock lock(mutex_);
  --outstanding_[lane];
}

// The session is of no use any more: all its requests fail, and the next ones get a fresh one.
void Dispatcher::fail_lane(size_t lane, const Error& error) {
  sessions_[lane].reset();
  std::vector<std::pair<int64_t, std::function<void(const Error&)>>> failed;
  for (auto& [id, alive] : alive_) {
    if (alive.lane == lane) { failed.emplace_back(id, std::move(alive.on_error)); }
  }
  for (const auto& [id, on_error] : failed) {
    end(id);
    if (on_error) { on_error(error); }
  }
  sessions_[lane] = lanes_[lane].open();
}

void Dispatcher::publish() {
  std::vector<engine::SessionUse> use;
  use.reserve(sessions_.size());
  for (const auto& session : sessions_) { use.push_back(session->use()); }
  const MutexLock lock(mutex_);
  use_ = std::move(use);
}

void Dispatcher::run() {
  Incoming incoming;
  while (take(incoming)) {
    for (Entry& entry : incoming.entries) { begin(std::move(entry)); }
    for (const int64_t id : incoming.cancelled) {
      const auto found = alive_.find(id);
      if (found == alive_.end()) { continue; }
      sessions_[found->second.lane]->cancel(id);
      end(id);
    }
    for (size_t lane = 0; lane < sessions_.size(); ++lane) {
      const Result<bool> round = sessions_[lane]->round();
      if (!round.ok()) { fail_lane(lane, round.error()); }
    }
    publish();
    for (const auto& pong : incoming.pings) { pong(); }
  }
}

}  // namespace vortex::serve
