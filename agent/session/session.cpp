#include "agent/session/session.h"

#include <algorithm>

namespace vortex::agent {
namespace {

constexpr double kHeartbeat = 1.0;       // seconds
constexpr double kPauseSlice = 0.1;      // seconds between looks at stop requests while pausing
constexpr double kLeastStall = 15 * 60;  // seconds without any result

}  // namespace

Session::Session(db::Store& store, const db::Run& run, const study::SearchOptions& options, const SearchHooks& hooks)
    : store_(store),
      run_(run),
      hooks_(hooks),
      budget_(store, run, study::limits_of(options), options.gpus, hooks.clock),
      stall_seconds_(std::max(kLeastStall, 2 * options.stage_seconds)),
      last_news_(hooks.clock()) {
  budget_.lent_seconds = hooks_.lent_seconds;
  budget_.on_notice = [this](study::Resource resource, int percent) {
    const nlohmann::json detail = {{"resource", study::resource_name(resource)},
                                   {"percent", percent},
                                   {"used", budget_.used(resource)},
                                   {"limit", budget_.limit(resource)}};
    const MutexLock guard(telling_mutex_);
    if (hooks_.on_event) { hooks_.on_event("budget", detail); }
  };
}

Status Session::load() {
  VORTEX_TRY(budget_.load());
  return read_stop_requests();
}

bool Session::ended() const { return unfinished_ || failed_ || stop_ != StopLevel::kNone || budget_.expired(); }

bool Session::must_kill() const { return stop_ == StopLevel::kKill || failed_ || budget_.expired(); }

void Session::pause(double seconds, const std::function<bool()>& enough) const {
  for (double slept = 0; slept < seconds && !must_kill() && !(enough && enough()); slept += kPauseSlice) {
    hooks_.sleep(kPauseSlice);
  }
}

void Session::fail(Error error) {
  const MutexLock guard(status_mutex_);
  if (status_.ok()) { status_ = std::move(error); }
  failed_ = true;
}

Status Session::status() const {
  VORTEX_TRY(budget_.status());
  const MutexLock guard(status_mutex_);
  return status_;
}

void Session::note(const std::string& kind, const nlohmann::json& detail) {
  const std::string text = detail.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  if (const Status stored = store_.add_event(run_.id, kind, text); !stored.ok()) { fail(stored.error()); }
  const MutexLock guard(telling_mutex_);
  if (hooks_.on_event) { hooks_.on_event(kind, detail); }
}

void Session::message(const std::string& text) {
  const MutexLock guard(telling_mutex_);
  if (hooks_.on_message) { hooks_.on_message(text); }
}

void Session::candidate(const CandidateSummary& summary) {
  const MutexLock guard(telling_mutex_);
  if (hooks_.on_candidate) { hooks_.on_candidate(summary); }
}

void Session::change_progress(const std::function<void(Progress&)>& change) {
  const double now = hooks_.clock();
  const MutexLock guard(telling_mutex_);
  change(progress_);
  last_news_ = now;
  stalled_ = false;
}

void Session::tick() {
  const double now = hooks_.clock();
  if (const Status beat = budget_.heartbeat(kHeartbeat); !beat.ok()) { fail(beat.error()); }
  stop_ = std::max(stop_.load(), hooks_.stop());
  if (std::abs(now - requests_read_) >= kHeartbeat) {
    requests_read_ = now;
    if (const Status read = read_stop_requests(); !read.ok()) { fail(read.error()); }
  }
  look_for_stall(now);
  const double used = budget_.used(study::Resource::kSeconds);
  const MutexLock guard(telling_mutex_);
  progress_.seconds_used = used;
  if (hooks_.on_tick) { hooks_.on_tick(progress_); }
}

bool Session::tick_ended() {
  tick();
  return ended();
}

void Session::look_for_stall(double now) {
  {
    const MutexLock guard(telling_mutex_);
    last_news_ = std::min(last_news_, now);  // the clock may have stepped back
    if (stalled_ || now - last_news_ < stall_seconds_) { return; }
    stalled_ = true;
  }
  note("stall", {{"seconds", stall_seconds_}, {"message", "no result for a long time; `vortex status` shows more"}});
}

// `vortex stop` leaves an event; those of earlier sessions are history.
Status Session::read_stop_requests() {
  VORTEX_ASSIGN(const std::vector<db::Event> events, store_.events(run_.id));
  StopLevel level = StopLevel::kNone;
  for (const db::Event& event : events) {
    if (event.kind == "started" || event.kind == "resumed") { level = StopLevel::kNone; }
    if (event.kind == "stop-requested") { level = std::max(level, StopLevel::kDrain); }
    if (event.kind == "stop-now-requested") { level = StopLevel::kKill; }
  }
  stop_ = std::max(stop_.load(), level);
  return ok_status();
}

}  // namespace vortex::agent
