#include "core/engine/forced.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/engine/requests.h"

namespace vortex::engine {

Status check_forced(const model::Model& model, const EngineOptions& options, std::span<const ForcedRequest> requests,
                    const ForcedOptions& forced) {
  if (forced.top_tokens < 1 || forced.top_tokens > kMaxTopTokens || forced.look_every < 0) {
    return internal_error("forced decoding tells from 1 to " + std::to_string(kMaxTopTokens) + " tokens of a position");
  }
  for (const ForcedRequest& request : requests) {
    VORTEX_TRY(check_request(model, options, request.request, static_cast<int64_t>(request.continuation.size())));
    VORTEX_TRY(check_tokens(model, request.continuation));
    if (!request.wanted.empty() && request.wanted.size() != request.continuation.size()) {
      return internal_error("forced decoding was asked about other positions than it has");
    }
    for (const std::vector<int32_t>& wanted : request.wanted) { VORTEX_TRY(check_tokens(model, wanted)); }
  }
  return ok_status();
}

size_t forced_together(std::span<const ForcedRequest> requests, int max_batch, int pages, int block) {
  int64_t needed = 0;
  size_t count = 0;
  for (const ForcedRequest& request : requests) {
    // The last token is never fed.
    const size_t tokens = request.request.prompt.size() + request.continuation.size() - 1;
    needed += (static_cast<int64_t>(tokens) + block - 1) / block;
    if (count > 0 && (needed > pages || count >= static_cast<size_t>(max_batch))) { break; }
    ++count;
  }
  return count;
}

Forced fresh_forced(const ForcedRequest& request, const model::ModelConfig& model) {
  const size_t positions = request.continuation.size();
  Forced forced;
  forced.log_probs.resize(positions);
  forced.wanted.resize(positions);
  forced.top.resize(positions);
  forced.top_log_probs.resize(positions);
  forced.recall.resize(static_cast<size_t>(model.num_layers * model.num_kv_heads));
  return forced;
}

PositionReader::PositionReader(int vocab, int top_tokens)
    : top_tokens_(std::min(top_tokens, vocab)),
      log_probs_(static_cast<size_t>(vocab)),
      order_(static_cast<size_t>(vocab)) {}

void PositionReader::read(const float* logits, const ForcedRequest& request, size_t position, Forced& out) {
  log_softmax(logits, static_cast<int>(log_probs_.size()), log_probs_.data());
  const auto log_prob = [&](int32_t token) { return log_probs_[static_cast<size_t>(token)]; };
  out.log_probs[position] = log_prob(request.continuation[position]);
  if (!request.wanted.empty()) {
    for (const int32_t token : request.wanted[position]) { out.wanted[position].push_back(log_prob(token)); }
  }
  std::iota(order_.begin(), order_.end(), 0);
  std::partial_sort(order_.begin(), order_.begin() + top_tokens_, order_.end(),
                    [&](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  out.top[position].assign(order_.begin(), order_.begin() + top_tokens_);
  for (const int32_t token : out.top[position]) { out.top_log_probs[position].push_back(log_prob(token)); }
}

}  // namespace vortex::engine
