#pragma once

#include <cstdint>
#include <vector>

#include "evals/answer_sheet.h"

namespace vortex::evals {

struct Interval {
  double value = 0;
  double lo = 0;
  double hi = 0;
};

// Half the width of a 95 % interval of a normal number, in standard deviations.
inline constexpr double kSigmas = 1.959963984540054;

// All intervals are two-sided 95 % ones, but for those that take `sigmas`, which are as much wider as that is larger.
// Bootstraps are percentile bootstraps of 2000 resamples, deterministic in `seed` and the order of first appearance of
// the problems; the one of an accuracy with one trial a problem is binomial, and needs no drawing.

// Mean accuracy. Where each problem is answered once the interval is the mid-P one; else that, at the effective sample
// size, joined with a cluster bootstrap (problems are resampled, all trials of a problem together; Cameron, Gelbach,
// Miller 2008) and a beta-binomial interval (beta_binomial.h): the bootstrap is too narrow for few problems, and the
// few that were answered wrong say too little of how much problems differ. The effective size is p(1-p) over the
// cluster-robust variance of the mean, kept between the numbers of problems and of outcomes. No outcomes: 0 in [0, 1].
// Coverage: docs/benchmarks/selection.md.
Interval accuracy_interval(const AnswerSheet& answers, uint64_t seed);

// Mean paired difference (a - b) over the (problem, trial) pairs that both have. The interval holds all differences
// that Tango's score test (1998) of paired shares does not refuse at the effective number of pairs, so ties alone never
// give an empty one; where a problem has several pairs it is joined with a cluster bootstrap. The effective number is
// the variance of one pair over the cluster-robust variance of the mean, kept between the numbers of problems and of
// pairs. No common pairs: 0 in [-1, 1].
Interval paired_difference(const AnswerSheet& a, const AnswerSheet& b, uint64_t seed, double sigmas = kSigmas);
// Its value alone, without the bootstrap. No common pairs: 0.
double paired_mean(const AnswerSheet& a, const AnswerSheet& b);

// The interval that this takes `won` and `lost` shares of `n` > 0 independent pairs for.
Interval difference_interval(double won, double lost, double n, double sigmas = kSigmas);

// Unbiased estimate of pass@k, the chance that one of k trials of a problem is right, averaged over problems: of n
// trials with c right it is 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv:2107.03374). Problems with fewer than k
// trials are left out; with none left, nothing is known: 0 in [0, 1]. The interval is a cluster bootstrap over
// problems. For k = 1 the value is mean accuracy where all problems have the same number of trials.
Interval pass_at_k(const std::vector<job::Outcome>& outcomes, int k, uint64_t seed);

// Mean of one value a problem, with a bootstrap over the problems. No samples: all zero.
Interval mean_interval(const std::vector<double>& samples, uint64_t seed);

// Median of repeated measurements with the narrowest interval of order statistics that holds the true median with at
// least 95 % probability whatever the distribution. Below six samples there is none: the interval is their whole range,
// whose coverage is 1 - 2^(1-n), e.g. 75 % for three. No samples: all zero.
Interval median_interval(std::vector<double> samples);

// The interval of a share `p` seen in `n` > 0 independent trials (not always whole) that holds 95 % at mid-P
// (Lancaster).
Interval mid_p_interval(double p, double n);

}  // namespace vortex::evals
