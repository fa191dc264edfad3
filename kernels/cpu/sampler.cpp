#include "kernels/cpu/sampler.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/activation.h"

namespace vortex::cpu {

int argmax(const float* logits, int size) {
  int best = 0;
  for (int i = 1; i < size; ++i) {
    const bool best_is_nan = logits[best] != logits[best];
    if (logits[i] > logits[best] || (best_is_nan && logits[i] == logits[i])) { best = i; }
  }
  return best;
}

int sample(const float* logits, int size, double temperature, int top_k, double top_p, double uniform,
           std::int32_t* order, float* weights, Isa isa) {
  const float peak = logits[argmax(logits, size)];
  exp_shifted(logits, size, peak, static_cast<float>(1.0 / temperature), weights, isa);
  std::iota(order, order + size, 0);
  int kept = size;
  if (top_k > 0 || top_p < 1.0) {
    std::sort(order, order + size, [&](std::int32_t a, std::int32_t b) {
      return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
    });
    if (top_k > 0) { kept = std::min(top_k, size); }
  }
  double total = 0;
  for (int i = 0; i < kept; ++i) { total += weights[order[i]]; }
  if (top_p < 1.0) {
    double mass = 0;
    int needed = 0;
    while (needed < kept && mass < top_p * total) { mass += weights[order[needed++]]; }
    kept = std::max(needed, 1);
    total = mass;
  }
  double left = uniform * total;
  for (int i = 0; i < kept; ++i) {
    left -= weights[order[i]];
    if (left < 0) { return order[i]; }
  }
  return order[kept - 1];
}

}  // namespace vortex::cpu
