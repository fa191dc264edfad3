// How far what one engine says of a continuation is from what another says.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace vortex::engine {

struct Distance {
  double mean = 0;  // of the KL divergence from the CPU engine
  double worst = 0;
  double agree = 0;  // share of positions with the same most probable token
  double gap = 0;    // where it is another one: the most that the CPU engine held its own more probable, in nats
};

// Log-probabilities [position][vocab] of both.
inline Distance distance(const std::vector<float>& cpu, const std::vector<float>& cuda, size_t vocab) {
  Distance d;
  const size_t positions = cpu.size() / vocab;
  for (size_t i = 0; i < positions; ++i) {
    double kl = 0;
    for (size_t t = i * vocab; t < (i + 1) * vocab; ++t) {
      const auto p = static_cast<double>(cpu[t]);
      kl += std::exp(p) * (p - static_cast<double>(cuda[t]));
    }
    d.mean += kl / static_cast<double>(positions);
    d.worst = std::max(d.worst, kl);
    const auto top = [&](const std::vector<float>& x) {
      const auto first = x.begin() + static_cast<int64_t>(i * vocab);
      return static_cast<size_t>(std::max_element(first, first + static_cast<int64_t>(vocab)) - x.begin());
    };
    const size_t own = top(cpu);
    const size_t other = top(cuda);
    d.agree += own == other ? 1.0 / static_cast<double>(positions) : 0.0;
    d.gap = std::max(d.gap, static_cast<double>(cpu[own] - cpu[other]));
  }
  return d;
}

}  // namespace vortex::engine
