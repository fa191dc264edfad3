#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "job/frame.h"
#include "job/generation.h"
#include "job/job.h"
#include "job/stage.h"

namespace vortex::job {

// What the orchestrator and a worker say to each other: one JSON object a frame (frame.h). The worker says hello before
// it reads anything, gets one request on its standard input, and answers on its standard output. Asked to climb, it
// reports that a stage starts and what it came to, in climbing order. Asked to generate, it reports every new token,
// and behind those of each run what the run came to, or why there is none. Then it exits with code 0. The orchestrator
// trusts none of it.
inline constexpr int kProtocolVersion = 2;
inline constexpr size_t kMaxOutputBytes = size_t{64} << 20;  // all events of one climb
inline constexpr size_t kLogTailBytes = 8192;                // kept of a worker's standard error

struct Hello {
  int protocol = kProtocolVersion;
  std::string build;  // identifies the worker's program
};
struct StageStart {
  Stage stage = Stage::kCompile;
  double planned = 0;  // seconds that it should cost on the worker's device; 0: not planned
};
struct Refusal {
  Error error;  // why there is no generation
};
using Request = std::variant<Job, GenerationJob>;
using Event = std::variant<Hello, StageStart, StageResult, NewToken, GenerationRun, Refusal>;

// The whole frames. Text that is no UTF-8 is repaired with U+FFFD.
std::string request_frame(const Request& request);
std::string event_frame(const Event& event);

// Reads the payload of a frame. Errors say what is wrong; too long, too deeply nested, unknown keys, wrong types
// and wrong versions are refused. Never crashes, whatever the bytes.
Result<Request> parse_request(std::string_view payload);
Result<Event> parse_event(std::string_view payload);

}  // namespace vortex::job
