#include "evals/beta_binomial.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "evals/distributions.h"

namespace vortex::evals {
namespace {

constexpr int kShares = 160;
constexpr int kCorrelations = 24;

// log of x (x + 1) ... (x + count - 1).
double log_rising(double x, int count) {
  constexpr int kByProduct = 32;
  if (count > kByProduct) { return log_gamma(x + count) - log_gamma(x); }
  double product = 1;
  double sum = 0;
  for (int i = 0; i < count; ++i) {
    product *= x + i;
    if (product > 1e200 || product < 1e-200) {
      sum += std::log(product);
      product = 1;
    }
  }
  return sum + std::log(product);
}

using Counts = std::map<std::pair<int, int>, int>;  // (right, answered) -> problems

double log_likelihood(const Counts& counts, double share, double correlation) {
  const double size = 1 / correlation - 1;  // of the beta distribution: its two parameters together
  const double a = share * size;
  const double b = (1 - share) * size;
  double sum = 0;
  for (const auto& [problem, count] : counts) {
    const auto& [right, answered] = problem;
    sum += count * (log_rising(a, right) + log_rising(b, answered - right) - log_rising(size, answered));
  }
  return sum;
}

}  // namespace

Interval beta_binomial_interval(const std::vector<std::pair<int, int>>& problems) {
  Counts counts;
  double right = 0;
  double answered = 0;
  for (const auto& problem : problems) {
    ++counts[problem];
    right += problem.first;
    answered += problem.second;
  }
  // Equal steps of the angle are equal shares of Jeffreys' prior.
  std::vector<double> shares;
  for (int i = 0; i < kShares; ++i) {
    shares.push_back(std::pow(std::sin((i + 0.5) / kShares * std::numbers::pi / 2), 2));
  }
  std::vector<std::vector<double>> logs(shares.size());
  double highest = -HUGE_VAL;
  for (size_t i = 0; i < shares.size(); ++i) {
    for (int j = 0; j < kCorrelations; ++j) {
      logs[i].push_back(log_likelihood(counts, shares[i], (j + 0.5) / kCorrelations));
      highest = std::max(highest, logs[i].back());
    }
  }
  std::vector<double> below = {0};  // posterior of all shares before each one
  for (const std::vector<double>& of_share : logs) {
    double weight = 0;
    for (const double log : of_share) { weight += std::exp(log - highest); }
    below.push_back(below.back() + weight);
  }
  const auto quantile = [&](double p) {
    const double wanted = p * below.back();
    const auto after = std::upper_bound(below.begin(), below.end(), wanted) - 1;
    const double inside = after + 1 == below.end() ? 0 : (wanted - *after) / (*(after + 1) - *after);
    const double place = (static_cast<double>(after - below.begin()) + inside) / kShares;
    return std::pow(std::sin(place * std::numbers::pi / 2), 2);
  };
  const double value = right / answered;
  // Where all answers are alike nothing bounds the share on that side.
  const double lo = right > 0 ? std::min(value, quantile(0.025)) : 0;
  const double hi = right < answered ? std::max(value, quantile(0.975)) : 1;
  return {value, lo, hi};
}

}  // namespace vortex::evals
