// What every engine asks of its requests, and small parts that engines share.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "core/engine/engine.h"
#include "core/model/model.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

// Are all tokens in the model's vocabulary?
Status check_tokens(const model::Model& model, std::span<const int32_t> tokens);

// Can `request` be decoded for `new_tokens` tokens? Checks lengths, sampling parameters, tokens and the prefix.
Status check_request(const model::Model& model, const EngineOptions& options, const Request& request,
                     int64_t new_tokens);

// Is the policy written for the model's kind of attention, and was it traced for this model and its own block size?
Status check_traced_for(const vflow::Policy& policy, const model::ModelConfig& model);

RunStats fresh_stats(int layers);

// Adds the counters and seconds of one run to those of others; step_seconds are left out.
void add_stats(const RunStats& more, RunStats& total);

// Bytes of the cache that the indexer reads to score one block of one kv head.
int64_t scored_bytes(const vflow::Policy& policy);

// Adds the time from its construction to its destruction to `seconds`.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds), start_(std::chrono::steady_clock::now()) {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point start_;
};

void log_softmax(const float* logits, int size, float* out);

}  // namespace vortex::engine
