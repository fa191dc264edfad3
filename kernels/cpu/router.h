// Which experts a token goes through (MoE), in float32.
#pragma once

#include <cstdint>

namespace vortex::cpu {

// How experts are chosen and weighed.
struct ExpertRule {
  int experts = 0;
  int chosen = 0;               // for one token, 1 to what the kept groups have
  bool sigmoid = false;         // scores are sigmoids of the logits; else their softmax
  const float* bias = nullptr;  // [experts], added to scores to choose by, never to weigh by; may be null
  // Experts lie in groups of equal size, of which only some are chosen from: those with the largest score, or where
  // `two_a_group` those with the largest sum of two. With one group all are.
  int groups = 1;
  int kept_groups = 1;
  bool two_a_group = false;
  bool normalised = false;  // weights are divided by their sum (+ 1e-20)
  float scale = 1.0F;       // and multiplied by this
};

// logits[e] = x . weights[e], weights [experts][size]: 16 partial sums over elements i mod 16, added in halves.
void router_logits(const float* x, const float* weights, int experts, int size, float* logits);

// The rule's experts of one token, the largest first, equal ones by index, those that are no number last; never the
// same twice. Groups are ordered likewise. Writes `chosen` indices and weights.
void choose_experts(const ExpertRule& rule, const float* logits, std::int32_t* experts, float* weights);

}  // namespace vortex::cpu
