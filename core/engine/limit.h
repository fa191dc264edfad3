// The limit model: the fewest bytes that a decode step must move through memory, and the special functions that scoring
// takes. At the bandwidth of a copy, and at the rate at which the device has special functions, they take the least
// time a step can take; benchmarks print how near they come.
#pragma once

#include <cstdint>
#include <span>

#include "core/model/model.h"
#include "core/vflow/policy.h"

namespace vortex::engine {

struct StepBytes {
  int64_t weights = 0;    // all matrices once, bf16 but for experts; of these as many as are likely touched
  int64_t kv = 0;         // K and V of the attended tokens, or their latents
  int64_t summaries = 0;  // fields read to score blocks
  int64_t state = 0;      // fields that scoring saves
  int64_t total() const { return weights + kv + summaries + state; }
};

// One step of requests with lengths[i] tokens in the cache, the newest included. Without a policy every layer is dense
// and K and V are of `kv_dtype`; experts are kept as `experts`. Activations, logits, scores and scales are not counted:
// they are less than a percent.
StepBytes step_bytes(const model::ModelConfig& model, const vflow::Policy* policy, vflow::Dtype kv_dtype,
                     std::span<const int> lengths, vflow::Dtype experts = vflow::Dtype::kBf16);

// Results of special functions that such a step's scoring takes: exponentials, reciprocals, logarithms (the op table
// says how many an operation does). 0 without a policy.
double special_results(const model::ModelConfig& model, const vflow::Policy* policy, std::span<const int> lengths);

// What a device does a second; where nobody knows how many special functions it has, 0.
struct DeviceRates {
  double bytes = 0;  // of a copy, read + write
  double special = 0;
};

// The least time of a step as bytes: those of `bytes`, and where scoring's special functions take longer than what it
// reads and saves, as many as a copy moves in their time. Scoring is a stage of its own: attention reads what it chose.
double limit_bytes(const StepBytes& bytes, double special, const DeviceRates& rates);

// The same of one rank of several (shard.h): what its card moves, what it sends to the others, and in how many
// exchanges they all wait for each other.
struct RankBytes {
  StepBytes card;
  int64_t link = 0;
  int exchanges = 0;
};
RankBytes rank_bytes(const model::ModelConfig& model, int ranks, const vflow::Policy* policy, vflow::Dtype kv_dtype,
                     std::span<const int> lengths, vflow::Dtype experts = vflow::Dtype::kBf16);

// The least time of such a step: its memory's at `bytes_per_second`, then its exchanges', which nothing runs beside.
// Links and the time of an empty exchange are those of H100 over NVLink (docs/benchmarks/tensor-parallel.md).
double least_seconds(const RankBytes& bytes, double bytes_per_second);

}  // namespace vortex::engine
