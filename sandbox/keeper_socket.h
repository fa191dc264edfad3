// What vortex and a keeper of weights say to each other: one line of JSON each way over a local socket, descriptors
// along with the answer.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "job/job.h"

namespace vortex::sandbox {

// The descriptor at which a keeper finds its socket, and a worker the first of what is kept.
inline constexpr int kFirstInherited = 3;

struct KeeperAnswer {
  nlohmann::json label;  // as Job::kept
  std::vector<Descriptor> descriptors;
  int process = 0;  // the keeper's id
};

// What a keeper is asked for.
struct KeeperRequest {
  job::Job job;                      // its model, and the prompts of its stages, are kept
  std::vector<job::TaskSpec> ahead;  // whose prompts are read afterwards, while nobody needs the processor
};

// The keeper's side.
Result<KeeperRequest> receive_keeper_request(int socket);
Status send_keeper_answer(int socket, const Result<KeeperAnswer>& answer);

// The other side. Waits for the answer until `seconds` have passed, the keeper has ended or `should_stop` says so: the
// environment's error. A refusal comes as the keeper's error; an answer that is none is ours.
Status send_keeper_request(int socket, const KeeperRequest& request);
Result<KeeperAnswer> receive_keeper_answer(int socket, double seconds, const std::function<bool()>& should_stop);

}  // namespace vortex::sandbox
