#include <cmath>
#include <numbers>

#include "core/model/model.h"

namespace vortex::model {
namespace {

double stretched(double frequency, const RopeScaling& scaling) {
  const double turns = scaling.original_context * frequency / (2 * std::numbers::pi);  // in the original context
  if (turns < scaling.low_freq_factor) { return frequency / scaling.factor; }
  if (turns > scaling.high_freq_factor) { return frequency; }
  const double kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return kept * frequency + (1 - kept) * frequency / scaling.factor;
}

}  // namespace

std::vector<double> rotary_frequencies(const ModelConfig& config) {
  const int half = config.head_dim / 2;
  std::vector<double> frequencies;
  for (int i = 0; i < half; ++i) {
    const double frequency = std::pow(config.rope_theta, -static_cast<double>(i) / half);
    frequencies.push_back(config.rope_scaling ? stretched(frequency, *config.rope_scaling) : frequency);
  }
  return frequencies;
}

}  // namespace vortex::model
