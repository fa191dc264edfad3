#include "sandbox/generation_listener.h"

#include <algorithm>

namespace vortex::sandbox {
namespace {

constexpr double kSilentSeconds = 3600;  // a long prompt on a slow machine is prefilled in silence
constexpr size_t kTokenBytes = 128;      // of a token's line, at most
constexpr size_t kOtherBytes = size_t{1} << 20;

size_t output_bound(const job::GenerationJob& job) {
  return kOtherBytes + 2 * job.prompts.size() * static_cast<size_t>(job.max_new_tokens) * kTokenBytes;
}

}  // namespace

GenerationListener::GenerationListener(const job::GenerationJob& job, const ExecutorOptions& options,
                                       const job::GenerationEvents& events)
    : Listener(options, output_bound(job)), job_(job), events_(events) {
  if (job.has_policy()) { runs_.push_back(false); }
  if (job.dense) { runs_.push_back(true); }
  start_run();
}

void GenerationListener::start_run() { left_.assign(job_.prompts.size(), job_.max_new_tokens); }

double GenerationListener::allowance() const { return kSilentSeconds; }

void GenerationListener::take_event(job::Event event, double now) {
  since_ = now;
  if (const auto* token = std::get_if<job::NewToken>(&event)) { return take_token(*token); }
  if (const auto* run = std::get_if<job::GenerationRun>(&event)) { return take_run(*run); }
  if (const auto* refusal = std::get_if<job::Refusal>(&event)) { return void(refusal_ = refusal->error); }
  fault("it answered what it was not asked");
}

void GenerationListener::take_token(const job::NewToken& token) {
  if (token.dense != runs_.back() || token.prompt >= left_.size() || left_[token.prompt] == 0) {
    return fault("it reported a token out of turn");
  }
  int& left = left_[token.prompt];
  left = token.end == job::TokenEnd::kGoesOn ? left - 1 : 0;
  if (events_.on_token) { events_.on_token(token); }
}

void GenerationListener::take_run(const job::GenerationRun& run) {
  const bool all_ended = std::all_of(left_.begin(), left_.end(), [](int left) { return left == 0; });
  if (run.dense != runs_.back() || !all_ended) { return fault("it reported a run out of turn"); }
  runs_.pop_back();
  start_run();
  if (events_.on_run) { events_.on_run(run); }
}

Status GenerationListener::outcome(Ending ending, const Exit& exit) const {
  if (refusal_) { return *refusal_; }
  if (finished()) { return ok_status(); }
  Error error = unfinished_error(ending, exit, {options_.memory_bytes, options_.cpu_seconds}, protocol_fault());
  if (const std::string log = log_tail(); !log.empty()) { error.message += "\n" + log; }
  return error;
}

}  // namespace vortex::sandbox
