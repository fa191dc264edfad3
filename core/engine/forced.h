// What the engines share of forced decoding (Engine::force_decode).
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "core/engine/engine.h"

namespace vortex::engine {

// Can the model be forced through these?
Status check_forced(const model::Model& model, const EngineOptions& options, std::span<const ForcedRequest> requests,
                    const ForcedOptions& forced);

// How many of `requests`, from the first on, run together: at most `max_batch`, all their pages of `block` tokens from
// `pages`. At least 1.
size_t forced_together(std::span<const ForcedRequest> requests, int max_batch, int pages, int block);

// An answer with room for every position of the request, and no looks yet.
Forced fresh_forced(const ForcedRequest& request, const model::ModelConfig& model);

// Reads positions on the host.
class PositionReader {
 public:
  PositionReader(int vocab, int top_tokens);
  // What `logits` say at `position`, whose token is fed next.
  void read(const float* logits, const ForcedRequest& request, size_t position, Forced& out);

 private:
  int top_tokens_;
  std::vector<float> log_probs_;
  std::vector<int32_t> order_;
};

}  // namespace vortex::engine
