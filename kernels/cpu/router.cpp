#include "kernels/cpu/router.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace vortex::cpu {
namespace {

constexpr int kLanes = 16;

float dot(const float* a, const float* b, int size) {
  float sums[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) { sums[lane] += a[i + lane] * b[i + lane]; }
  }
  for (int lane = 0; i + lane < size; ++lane) { sums[lane] += a[i + lane] * b[i + lane]; }
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int lane = 0; lane < width; ++lane) { sums[lane] += sums[lane + width]; }
  }
  return sums[0];
}

// Does a come before b? Numbers first, larger ones before smaller ones.
bool before(float a, float b) { return std::isnan(b) ? !std::isnan(a) : a > b; }

// Puts the best `count` of `order` first, in their order; `order` is ascending, so that equal ones stay so.
void sort_best(const std::vector<float>& values, int count, std::vector<std::int32_t>& order) {
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = values[static_cast<std::size_t>(a)];
    const float y = values[static_cast<std::size_t>(b)];
    return before(x, y) || (!before(y, x) && a < b);
  });
}

std::vector<float> scores_of(const ExpertRule& rule, const float* logits) {
  std::vector<float> scores(logits, logits + rule.experts);
  if (rule.sigmoid) {
    for (float& score : scores) { score = static_cast<float>(1.0 / (1.0 + std::exp(-static_cast<double>(score)))); }
    return scores;
  }
  const auto peak = static_cast<double>(
      *std::max_element(scores.begin(), scores.end(), [](float a, float b) { return before(b, a); }));
  double sum = 0;
  for (const float score : scores) { sum += std::exp(static_cast<double>(score) - peak); }
  for (float& score : scores) { score = static_cast<float>(std::exp(static_cast<double>(score) - peak) / sum); }
  return scores;
}

// What a group counts for.
float group_score(const ExpertRule& rule, const std::vector<float>& values, int group) {
  const int size = rule.experts / rule.groups;
  std::vector<std::int32_t> members(static_cast<std::size_t>(size));
  std::iota(members.begin(), members.end(), group * size);
  sort_best(values, rule.two_a_group ? 2 : 1, members);
  const float best = values[static_cast<std::size_t>(members[0])];
  return rule.two_a_group ? best + values[static_cast<std::size_t>(members[1])] : best;
}

// The experts that may be chosen, ascending.
std::vector<std::int32_t> candidates(const ExpertRule& rule, const std::vector<float>& values) {
  std::vector<std::int32_t> experts;
  std::vector<std::int32_t> groups(static_cast<std::size_t>(rule.groups));
  std::iota(groups.begin(), groups.end(), 0);
  if (rule.groups > 1) {
    std::vector<float> totals;
    for (int group = 0; group < rule.groups; ++group) { totals.push_back(group_score(rule, values, group)); }
    sort_best(totals, rule.kept_groups, groups);
    groups.resize(static_cast<std::size_t>(rule.kept_groups));
    std::sort(groups.begin(), groups.end());
  }
  const int size = rule.experts / rule.groups;
  for (const std::int32_t group : groups) {
    for (int i = 0; i < size; ++i) { experts.push_back(group * size + i); }
  }
  return experts;
}

}  // namespace

void router_logits(const float* x, const float* weights, int experts, int size, float* logits) {
  for (int expert = 0; expert < experts; ++expert) {
    logits[expert] = dot(x, weights + static_cast<std::int64_t>(expert) * size, size);
  }
}

void choose_experts(const ExpertRule& rule, const float* logits, std::int32_t* experts, float* weights) {
  const std::vector<float> scores = scores_of(rule, logits);
  std::vector<float> values = scores;
  if (rule.bias != nullptr) {
    for (std::size_t i = 0; i < values.size(); ++i) { values[i] += rule.bias[i]; }
  }
  std::vector<std::int32_t> order = candidates(rule, values);
  sort_best(values, rule.chosen, order);
  std::copy_n(order.begin(), rule.chosen, experts);
  float sum = 0.0F;
  for (int i = 0; i < rule.chosen; ++i) {
    weights[i] = scores[static_cast<std::size_t>(experts[i])];
    sum += weights[i];
  }
  for (int i = 0; i < rule.chosen; ++i) {
    if (rule.normalised) { weights[i] /= sum + 1e-20F; }
    weights[i] *= rule.scale;
  }
}

}  // namespace vortex::cpu
