#include "agent/session/budget.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace vortex::agent {
namespace {

constexpr std::array kPercents = {50, 80, 100};

}  // namespace

Budget::Budget(db::Store& store, const db::Run& run, study::Limits limits, int gpus, std::function<double()> clock)
    : store_(store), run_(run.id), limits_(std::move(limits)), gpus_(gpus), clock_(std::move(clock)), last_(clock_()) {
  used_[study::Resource::kSeconds] = written_seconds_ = run.seconds_used;
  used_[study::Resource::kGpuSeconds] = written_gpu_seconds_ = run.gpu_seconds_used;
}

Status Budget::load() {
  VORTEX_ASSIGN(const std::vector<db::Spend> spends, store_.spends(run_));
  VORTEX_ASSIGN(const std::vector<db::Event> events, store_.events(run_));
  const MutexLock guard(mutex_);
  for (const db::Spend& spend : spends) {
    used_[study::Resource::kTokens] += spend.tokens;
    used_[study::Resource::kDollars] += spend.dollars;
  }
  for (const db::Event& event : events) {
    if (event.kind != "budget") { continue; }
    const auto detail = nlohmann::json::parse(event.detail, nullptr, false);
    for (study::Resource resource : study::kResources) {
      // A limit that was raised gives its notices anew.
      if (detail.value("resource", "") == study::resource_name(resource) &&
          detail.value("limit", 0.0) == limits_[resource]) {
        noticed_.emplace(resource, detail.value("percent", 0));
      }
    }
  }
  return ok_status();
}

void Budget::advance() const {
  const double now = clock_();
  const double passed = std::max(0.0, now - last_);
  last_ = now;
  used_[study::Resource::kSeconds] += passed;
  double held = passed * static_cast<double>(work_.size());
  if (lent_seconds) {
    const double lent = lent_seconds();
    held = std::max(0.0, lent - std::exchange(last_lent_, lent));
  }
  used_[study::Resource::kGpuSeconds] += held * gpus_;
}

double Budget::in_flight_gpu_seconds() const {
  double seconds = 0;
  for (const auto& [id, work] : work_) { seconds += std::max(0.0, work.started + work.expected - last_); }
  return seconds * gpus_;
}

bool Budget::fits(study::Resource resource, double amount) const {
  const auto limit = limits_.find(resource);
  if (limit == limits_.end() || limit->second <= 0) { return true; }
  const double in_flight = resource == study::Resource::kGpuSeconds ? in_flight_gpu_seconds() : 0.0;
  return used_[resource] + in_flight + amount <= limit->second;
}

bool Budget::may_spend(study::Resource resource, double amount) const {
  const MutexLock guard(mutex_);
  advance();
  return fits(resource, amount);
}

template <typename T>
void Budget::keep(const Result<T>& result) {
  if (!result.ok() && status_.ok()) { status_ = result.error(); }
}

void Budget::book(study::Resource resource, double amount) {
  std::vector<std::pair<study::Resource, int>> notices;
  {
    const MutexLock guard(mutex_);
    used_[resource] += amount;
    if (resource == study::Resource::kTokens) { keep(store_.add_spend({0, run_, 0, amount, 0, true})); }
    if (resource == study::Resource::kDollars) { keep(store_.add_spend({0, run_, 0, 0, amount, true})); }
    notices = due_notices();
  }
  give(notices);
}

Result<std::optional<int64_t>> Budget::hold(double tokens, double dollars) {
  const MutexLock guard(mutex_);
  if (!fits(study::Resource::kTokens, tokens) || !fits(study::Resource::kDollars, dollars)) {
    return std::optional<int64_t>{};
  }
  VORTEX_ASSIGN(const int64_t id, store_.add_spend({0, run_, 0, tokens, dollars, false}));
  used_[study::Resource::kTokens] += tokens;
  used_[study::Resource::kDollars] += dollars;
  holds_[id] = {tokens, dollars};
  return std::optional(id);
}

Status Budget::settle(int64_t hold, double tokens, double dollars) {
  std::vector<std::pair<study::Resource, int>> notices;
  {
    const MutexLock guard(mutex_);
    const auto held = holds_.find(hold);
    if (held == holds_.end()) { return internal_error("settling a call that was not held: " + std::to_string(hold)); }
    VORTEX_TRY(store_.settle_spend(hold, tokens, dollars));
    used_[study::Resource::kTokens] += tokens - held->second.first;
    used_[study::Resource::kDollars] += dollars - held->second.second;
    holds_.erase(held);
    notices = due_notices();
  }
  give(notices);
  return ok_status();
}

bool Budget::start_work(int64_t id, double seconds) {
  const MutexLock guard(mutex_);
  advance();
  if (!fits(study::Resource::kSeconds, seconds) || !fits(study::Resource::kGpuSeconds, seconds * gpus_)) {
    return false;
  }
  work_[id] = {seconds, last_};
  return true;
}

bool Budget::start_needed_work(int64_t id, double seconds) {
  if (expired()) { return false; }
  const MutexLock guard(mutex_);
  advance();
  work_[id] = {seconds, last_};
  return true;
}

void Budget::end_work(int64_t id) {
  const MutexLock guard(mutex_);
  advance();
  work_.erase(id);
}

bool Budget::work_fits(int64_t id, double seconds) const {
  const MutexLock guard(mutex_);
  advance();
  const auto work = work_.find(id);
  const double counted =
      work == work_.end() ? 0.0 : std::max(0.0, work->second.started + work->second.expected - last_);
  return fits(study::Resource::kSeconds, seconds) &&
         fits(study::Resource::kGpuSeconds, std::max(0.0, seconds - counted) * gpus_);
}

double Budget::used(study::Resource resource) const {
  const MutexLock guard(mutex_);
  advance();
  return used_[resource];
}

double Budget::limit(study::Resource resource) const {
  const auto limit = limits_.find(resource);
  return limit == limits_.end() ? 0.0 : limit->second;
}

bool Budget::expired() const {
  const MutexLock guard(mutex_);
  advance();
  for (study::Resource resource : {study::Resource::kSeconds, study::Resource::kGpuSeconds}) {
    const auto limit = limits_.find(resource);
    if (limit != limits_.end() && limit->second > 0 && used_[resource] >= limit->second) { return true; }
  }
  return false;
}

Status Budget::heartbeat(double interval) {
  std::vector<std::pair<study::Resource, int>> notices;
  {
    const MutexLock guard(mutex_);
    advance();
    const double seconds = used_[study::Resource::kSeconds] - written_seconds_;
    if (seconds >= interval) {
      VORTEX_TRY(store_.add_run_seconds(run_, seconds, used_[study::Resource::kGpuSeconds] - written_gpu_seconds_));
      written_seconds_ = used_[study::Resource::kSeconds];
      written_gpu_seconds_ = used_[study::Resource::kGpuSeconds];
    }
    notices = due_notices();
  }
  give(notices);
  return ok_status();
}

Status Budget::status() const {
  const MutexLock guard(mutex_);
  return status_;
}

std::vector<std::pair<study::Resource, int>> Budget::due_notices() {
  std::vector<std::pair<study::Resource, int>> due;
  for (const auto& [resource, limit] : limits_) {
    for (int percent : kPercents) {
      if (limit <= 0 || used_[resource] < limit * percent / 100) { continue; }
      if (noticed_.emplace(resource, percent).second) { due.emplace_back(resource, percent); }
    }
  }
  return due;
}

void Budget::give(const std::vector<std::pair<study::Resource, int>>& notices) {
  for (const auto& [resource, percent] : notices) {
    const nlohmann::json detail = {{"resource", study::resource_name(resource)},
                                   {"percent", percent},
                                   {"used", used(resource)},
                                   {"limit", limit(resource)}};
    const Status stored = store_.add_event(run_, "budget", detail.dump());
    {
      const MutexLock guard(mutex_);
      keep(stored);
    }
    if (on_notice) { on_notice(resource, percent); }
  }
}

}  // namespace vortex::agent
