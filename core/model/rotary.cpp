#include <algorithm>
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

// The index of the pair that turns so often in the original context; between two pairs it is no whole number.
double pair_of(double turns, const ModelConfig& config) {
  const double wavelength = config.yarn->original_context / (2 * std::numbers::pi * turns);
  return config.rotary_dim() * std::log(wavelength) / (2 * std::log(config.rope_theta));
}

// The share of its frequency that each pair keeps.
std::vector<double> yarn_kept(const ModelConfig& config) {
  double first = pair_of(config.yarn->beta_fast, config);
  double last = pair_of(config.yarn->beta_slow, config);
  if (config.yarn->whole_pairs) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, config.rotary_dim() - 1.0);
  if (first == last) { last += 0.001; }  // a step, not a division by zero
  std::vector<double> kept;
  for (int i = 0; i < config.rotary_dim() / 2; ++i) {
    kept.push_back(1 - std::clamp((i - first) / (last - first), 0.0, 1.0));
  }
  return kept;
}

// The temperature of a context that was stretched by `factor` (arXiv:2309.00071, section 3.4).
double yarn_temperature(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

}  // namespace

std::vector<double> rotary_frequencies(const ModelConfig& config) {
  const int half = config.rotary_dim() / 2;
  const std::vector<double> kept = config.yarn ? yarn_kept(config) : std::vector<double>();
  std::vector<double> frequencies;
  for (int i = 0; i < half; ++i) {
    double frequency = std::pow(config.rope_theta, -static_cast<double>(i) / half);
    if (config.rope_scaling) { frequency = stretched(frequency, *config.rope_scaling); }
    if (config.yarn) {
      const double share = kept[static_cast<size_t>(i)];
      frequency *= share + (1 - share) / config.yarn->factor;
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

double rotary_magnitude(const ModelConfig& config) {
  if (!config.yarn) { return 1; }
  const YarnScaling& yarn = *config.yarn;
  if (yarn.attention_factor > 0) { return yarn.attention_factor; }
  if (yarn.mscale > 0 && yarn.mscale_all_dim > 0) {
    return yarn_temperature(yarn.factor, yarn.mscale) / yarn_temperature(yarn.factor, yarn.mscale_all_dim);
  }
  return yarn_temperature(yarn.factor, 1);
}

double softmax_scale(const ModelConfig& config) {
  const int dim = config.latent ? config.latent->nope_dim + config.latent->rope_dim : config.head_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  if (!config.latent || !config.yarn || config.yarn->mscale_all_dim == 0) { return scale; }
  const double temperature = yarn_temperature(config.yarn->factor, config.yarn->mscale_all_dim);
  return scale * temperature * temperature;
}

}  // namespace vortex::model
