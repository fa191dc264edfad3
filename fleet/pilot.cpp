#include "fleet/pilot.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "base/secret.h"
#include "fleet/shift.h"
#include "fleet/token.h"

namespace vortex::fleet {
namespace {

constexpr double kDialSeconds = 10;
constexpr double kLongestPause = 30;

bool wants_end(const PilotOptions& options) { return options.wish && options.wish() != Wish::kNone; }

void pause(const PilotOptions& options, double seconds) {
  const double end = monotonic_seconds() + seconds;
  while (monotonic_seconds() < end && !wants_end(options)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

void tell(const PilotOptions& options, const std::string& message) {
  if (options.on_message) { options.on_message(message); }
}

}  // namespace

Result<PilotEnd> run_pilot(const PilotOptions& options, Workshop& workshop) {
  const std::string identity = random_hex(kSecretBytes);
  const std::string search = to_text(options.search);
  double alone_since = monotonic_seconds();
  double rest = options.first_pause_seconds;
  std::string loss;
  while (!wants_end(options)) {
    Result<Descriptor> socket = connect_to(options.search, kDialSeconds);
    if (socket.ok()) {
      Shift shift(options, workshop, identity, std::move(socket).value());
      VORTEX_ASSIGN(const Shift::End end, shift.work());
      if (end == Shift::End::kDismissed) { return PilotEnd::kDismissed; }
      if (end == Shift::End::kWished) { return PilotEnd::kWished; }
      if (shift.was_welcome()) {
        alone_since = monotonic_seconds();
        rest = options.first_pause_seconds;
      }
      loss = shift.loss();
      tell(options, "lost the search at " + search + ": " + loss + "; dialling again");
    } else {
      loss = socket.error().message;
    }
    const double alone = monotonic_seconds() - alone_since;
    if (alone > options.patience_seconds) {
      return environment_error(
          "no search at " + search + " for " + std::to_string(static_cast<int>(alone)) + " s: " + loss,
          "is it still running, and can this machine reach it?");
    }
    pause(options, rest);
    rest = std::min(kLongestPause, 2 * rest);
  }
  return PilotEnd::kWished;
}

}  // namespace vortex::fleet
