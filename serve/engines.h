#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"
#include "job/serving.h"
#include "serve/dispatcher.h"
#include "serve/served.h"

namespace vortex::serve {

// What a server serves, opened: an engine for each policy, which share the weights, and the dispatcher's lanes, which
// open sessions of these engines. The engines must outlive the dispatcher.
struct Opened {
  Served served;
  std::vector<std::shared_ptr<engine::Engine>> engines;  // [lane]
  std::vector<Lane> lanes;
  std::string device;  // in words
};

// Loads the model and compiles the policies, in the order of the job; dense attention comes last. On a GPU where the
// job asks for one, or leaves it open and there is one that covers the model and all policies.
Result<Opened> open_engines(const job::ServingJob& job);

}  // namespace vortex::serve
