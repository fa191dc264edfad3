#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "job/protocol.h"
#include "sandbox/ending.h"
#include "sandbox/executor.h"

namespace vortex::sandbox {

// Hears one worker out: splits what it writes into events, insists on a hello, knows until when it must speak again.
// What it may say between is the business of a derived class. Knows nothing of processes; times are seconds on any
// steady clock.
class Listener {
 public:
  Listener(const ExecutorOptions& options, size_t max_output_bytes)
      : options_(options), max_output_bytes_(max_output_bytes) {}
  virtual ~Listener() = default;

  // The worker starts now.
  void start(double now) { started_ = since_ = now; }
  void take_output(std::string_view bytes, double now);
  void take_log(std::string_view bytes);
  // What holds the worker: goes into the evidence of its results.
  void set_sandbox(nlohmann::json sandbox) { sandbox_ = std::move(sandbox); }

  // Why the worker must be killed now, if it must.
  std::optional<Ending> overdue(double now) const;
  bool misbehaved() const { return !protocol_fault_.empty(); }
  bool said_hello() const { return said_hello_; }
  // All has been said that was asked for; nothing that the worker does from here on matters.
  virtual bool finished() const = 0;

  double since() const { return since_; }  // when the worker last got on
  std::string log_tail() const;
  const std::string& protocol_fault() const { return protocol_fault_; }
  const std::optional<Error>& hello_fault() const { return hello_fault_; }

 protected:
  // An event behind the hello, before finished().
  virtual void take_event(job::Event event, double now) = 0;
  // Seconds from `since_` that the worker may be silent for, and what it is when it is silent for longer.
  virtual double allowance() const = 0;
  virtual Ending silence() const = 0;

  // What the worker called its program in its hello.
  const std::string& build() const { return build_; }
  void fault(const std::string& what) { protocol_fault_ = what; }

  const ExecutorOptions& options_;
  double started_ = 0;
  double since_ = 0;
  nlohmann::json sandbox_;

 private:
  void take_payload(std::string_view payload, double now);

  size_t max_output_bytes_;
  bool said_hello_ = false;
  std::string build_;
  job::FrameReader frames_;
  size_t output_bytes_ = 0;
  std::string log_;
  std::string protocol_fault_;
  std::optional<Error> hello_fault_;
};

}  // namespace vortex::sandbox
