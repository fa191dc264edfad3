#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "fleet/channel.h"
#include "fleet/message.h"
#include "fleet/workshop.h"

namespace vortex::fleet {

// What the machine wants of a worker.
enum class Wish {
  kNone,
  kDrain,  // finish the task that runs, take no other, go
  kEnd,    // go now
};

struct PilotOptions {
  Address search;
  std::string token;
  std::string build;  // of the vortex-worker program that does the tasks
  std::string name;   // for people
  Machine machine;
  double beat_seconds = 5;         // between two signs of life
  double patience_seconds = 900;   // without a search before this ends
  double first_pause_seconds = 1;  // before dialling again; doubled each time, up to 30
  std::function<Wish()> wish;      // polled ten times a second
  std::function<void(const std::string&)> on_message;
};

enum class PilotEnd {
  kDismissed,  // the search said that there is no more work
  kWished,     // the machine was wanted back
};

// Works for a search elsewhere: dials it, shows that it holds the token, does one task at a time, and dials again when
// the connection breaks. A search that is not heard of any more has its task ended: nobody waits for it. Errors: the
// search refused it, the setup could not be made here, or no search was there for `patience_seconds`.
Result<PilotEnd> run_pilot(const PilotOptions& options, Workshop& workshop);

}  // namespace vortex::fleet
