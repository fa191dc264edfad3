// The choice of experts of one row by one warp, as kernels/cpu/router.cpp defines it: larger scores first, equal ones
// by index, what is no number last.
#pragma once

#include "kernels/cpu/router.h"
#include "kernels/cuda/device.cuh"

namespace vortex::cuda {

// Orders floats as the definition does: what comes first has the larger key. 0 is no float's key.
__device__ __forceinline__ unsigned choice_key(float x) {
  if (isnan(x)) { return 1; }
  const unsigned bits = __float_as_uint(x == 0.0F ? 0.0F : x);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

// Element i of lane l stands for index 32 i + l. Takes the best key (its lowest index) out of a warp's keys.
template <int kPerLane>
__device__ __forceinline__ int take_best(unsigned (&keys)[kPerLane], int lane) {
  unsigned best = 0;
  unsigned index = 0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (keys[i] > best) {
      best = keys[i];
      index = static_cast<unsigned>(i * 32 + lane);
    }
  }
  const unsigned top = __reduce_max_sync(kFullWarp, best);
  const unsigned taken = __reduce_min_sync(kFullWarp, best == top ? index : ~0U);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (static_cast<unsigned>(i * 32 + lane) == taken) { keys[i] = 0; }
  }
  return static_cast<int>(taken);
}

// Element `index` of what the lanes hold together.
template <int kPerLane>
__device__ __forceinline__ float element_of(const float (&x)[kPerLane], int index) {
  float mine = 0.0F;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (i == index / 32) { mine = x[i]; }
  }
  return __shfl_sync(kFullWarp, mine, index % 32);
}

// Sigmoids or the softmax of the row's logits, in double, rounded once.
template <int kPerLane>
__device__ __forceinline__ void score_experts(const cpu::ExpertRule& rule, const float* logits, int lane,
                                              float (&scores)[kPerLane]) {
  float peak = negative_infinity();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int expert = i * 32 + lane;
    scores[i] = expert < rule.experts ? logits[expert] : negative_infinity();
    peak = fmaxf(peak, scores[i]);  // passes over what is no number
  }
  if (rule.sigmoid) {
#pragma unroll
    for (int i = 0; i < kPerLane; ++i) {
      scores[i] = static_cast<float>(1.0 / (1.0 + exp(-static_cast<double>(scores[i]))));
    }
    return;
  }
  peak = warp_max(peak);
  double shares[kPerLane];
  double sum = 0.0;
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    shares[i] = exp(static_cast<double>(scores[i]) - static_cast<double>(peak));
    if (i * 32 + lane < rule.experts) { sum += shares[i]; }
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) { sum += __shfl_xor_sync(kFullWarp, sum, offset); }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) { scores[i] = static_cast<float>(shares[i] / sum); }
}

// The best value of a group, or the sum of its best two.
__device__ __forceinline__ float group_total(const float* values, int size, bool two) {
  unsigned best_key = 0;
  unsigned second_key = 0;
  float best = 0.0F;
  float second = 0.0F;
  for (int i = 0; i < size; ++i) {
    const unsigned key = choice_key(values[i]);
    if (key > best_key) {
      second_key = best_key;
      second = best;
      best_key = key;
      best = values[i];
    } else if (key > second_key) {
      second_key = key;
      second = values[i];
    }
  }
  return two ? best + second : best;
}

// Which groups are kept, a bit each. `shared` has room for the row's values.
template <int kPerLane>
__device__ __forceinline__ unsigned keep_groups(const cpu::ExpertRule& rule, const float (&values)[kPerLane], int lane,
                                                float* shared) {
  if (rule.groups <= 1) { return ~0U; }
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    if (i * 32 + lane < rule.experts) { shared[i * 32 + lane] = values[i]; }
  }
  __syncwarp();
  const int size = rule.experts / rule.groups;
  unsigned keys[1] = {0};
  if (lane < rule.groups) { keys[0] = choice_key(group_total(shared + lane * size, size, rule.two_a_group)); }
  unsigned kept = 0;
  for (int i = 0; i < rule.kept_groups; ++i) { kept |= 1U << take_best(keys, lane); }
  return kept;
}

// Writes the row's experts and weights. All of a warp.
template <int kPerLane>
__device__ __forceinline__ void choose_row(const cpu::ExpertRule& rule, const float* logits, float* shared,
                                           std::int32_t* experts, float* weights) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float scores[kPerLane];
  score_experts(rule, logits, lane, scores);
  float values[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int expert = i * 32 + lane;
    values[i] = rule.bias != nullptr && expert < rule.experts ? scores[i] + rule.bias[expert] : scores[i];
  }
  const unsigned kept = keep_groups(rule, values, lane, shared);
  const int size = rule.experts / rule.groups;
  unsigned keys[kPerLane];
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    const int expert = i * 32 + lane;
    const bool there = expert < rule.experts && (rule.groups <= 1 || (kept >> (expert / size) & 1U) != 0);
    keys[i] = there ? choice_key(values[i]) : 0;
  }
  int expert_of_lane = 0;
  float score_of_lane = 0.0F;
  float sum = 0.0F;
  for (int slot = 0; slot < rule.chosen; ++slot) {
    const int expert = take_best(keys, lane);
    const float score = element_of(scores, expert);
    sum += score;
    if (lane == slot) {
      expert_of_lane = expert;
      score_of_lane = score;
    }
  }
  if (lane >= rule.chosen) { return; }
  if (rule.normalised) { score_of_lane /= sum + 1e-20F; }
  experts[lane] = expert_of_lane;
  weights[lane] = score_of_lane * rule.scale;
}

}  // namespace vortex::cuda
