#include "agent/loop/shelf.h"

#include <utility>

namespace vortex::agent {
namespace {

constexpr size_t kAtHand = 512;  // policies of a generation, of some kilobytes each

}  // namespace

Result<vflow::PolicySource> stored_source(db::Store& store, const db::Candidate& row) {
  vflow::PolicySource source;
  VORTEX_ASSIGN(source.module_text, store.get_object(row.module_object));
  VORTEX_ASSIGN(source.config_text, store.get_object(row.config_object));
  return source;
}

void Shelf::add(int64_t candidate, const vflow::Policy& policy) {
  known_.insert(candidate);
  keep(candidate, policy);
}

std::shared_ptr<const vflow::Policy> Shelf::keep(int64_t candidate, vflow::Policy policy) {
  return keep(candidate, std::make_shared<const vflow::Policy>(std::move(policy)));
}

// What was not asked for while a generation filled goes with the next one.
std::shared_ptr<const vflow::Policy> Shelf::keep(int64_t candidate, std::shared_ptr<const vflow::Policy> policy) {
  if (at_hand_.size() >= kAtHand) { before_ = std::exchange(at_hand_, {}); }
  return at_hand_[candidate] = std::move(policy);
}

Result<vflow::PolicySource> Shelf::source(int64_t candidate) const {
  VORTEX_ASSIGN(const std::optional<db::Candidate> row, store_.find_candidate(candidate));
  if (!row) { return internal_error("candidate " + std::to_string(candidate) + " has lost its row"); }
  return stored_source(store_, *row);
}

Status Shelf::fill(int64_t candidate, job::Job& job) const {
  if (!contains(candidate)) { return ok_status(); }
  VORTEX_ASSIGN(vflow::PolicySource text, source(candidate));
  job.module_text = std::move(text.module_text);
  job.config_text = std::move(text.config_text);
  return ok_status();
}

Result<std::shared_ptr<const vflow::Policy>> Shelf::policy(int64_t candidate) {
  const auto found = at_hand_.find(candidate);
  if (found != at_hand_.end()) { return found->second; }
  if (const auto earlier = before_.find(candidate); earlier != before_.end()) {
    return keep(candidate, earlier->second);
  }
  VORTEX_ASSIGN(const vflow::PolicySource text, source(candidate));
  vflow::CheckReport report = vflow::check_policy(text, model_);
  if (!report.policy) {
    return internal_error("candidate " + std::to_string(candidate) + " was checked once and is refused now");
  }
  return keep(candidate, std::move(*report.policy));
}

}  // namespace vortex::agent
