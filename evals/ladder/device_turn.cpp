#include "evals/ladder/device_turn.h"

#include "evals/ladder/session.h"

namespace vortex::evals {

Status DeviceTurn::take(Session& session, DeviceUse use) {
  if (!is_shared() || use == use_) { return ok_status(); }
  end(session);
  if (use == DeviceUse::kNone) { return ok_status(); }
  use == DeviceUse::kAlone ? lock_.take_alone() : lock_.take_together();
  use_ = use;
  session.engine->share_memory(use == DeviceUse::kAlone ? 1 : sharers_);
  return session.engine->set_policy(session.policy);
}

void DeviceTurn::end(Session& session) {
  if (use_ == DeviceUse::kNone) { return; }
  session.engine->share_memory(0);
  lock_.release();
  use_ = DeviceUse::kNone;
}

}  // namespace vortex::evals
