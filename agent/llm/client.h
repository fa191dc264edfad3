#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/llm/channel.h"
#include "agent/llm/models.h"
#include "base/result.h"

namespace vortex::agent {

// Keeps a model that does not answer from being asked again and again: it rests, longer after every failure, and is
// then tried once.
class EndpointBreaker {
 public:
  explicit EndpointBreaker(double rest_seconds) : rest_(rest_seconds), next_rest_(rest_seconds) {}
  bool awake(double now) const { return now >= until_; }
  double until() const { return until_; }
  void succeeded();
  void failed(double now);

 private:
  double rest_;
  double next_rest_;
  double until_ = 0;
};

struct ClientHooks {
  std::function<bool()> should_stop;
  std::function<void(const std::string&)> on_message;
};

// Asks one model one question: repeats attempts that failed for a time (connection, 408, 425, 429, 5xx), at most two
// that were probably paid for (a stream cut short, bytes that are no reply, a reply too long). Every attempt is a row
// and is held in the budget before it is sent. Nothing when the budget does not allow it. Errors: environment, the
// endpoint does not answer, wants another key, or the search is told to stop; candidate, it refuses the request as
// wrong (400, 404, 422, ...).
Result<std::optional<Answer>> ask_model(const ModelSpec& model, const Roster& roster, const Ask& ask, CallBook& book,
                                        const ClientHooks& hooks);

}  // namespace vortex::agent
