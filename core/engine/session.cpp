#include "core/engine/session.h"

#include <algorithm>
#include <numeric>

#include "core/engine/requests.h"

namespace vortex::engine {

std::unique_ptr<Session> Engine::session(const SessionOptions&) { return nullptr; }

std::pair<float, std::vector<TokenProb>> token_probs(std::span<const float> logits, int32_t token, int count) {
  std::vector<float> log_probs(logits.size());
  log_softmax(logits.data(), static_cast<int>(logits.size()), log_probs.data());
  const auto log_prob = [&](int32_t of) { return log_probs[static_cast<size_t>(of)]; };
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto top = order.begin() + std::min<std::ptrdiff_t>(count, static_cast<std::ptrdiff_t>(order.size()));
  const auto before = [&](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), top, order.end(), before);
  std::vector<TokenProb> most;
  for (auto it = order.begin(); it != top; ++it) { most.push_back({*it, log_prob(*it)}); }
  return {log_prob(token), std::move(most)};
}

}  // namespace vortex::engine
