#include "evals/statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "core/base/rng.h"

namespace vortex::evals {
namespace {

constexpr int kResamples = 2000;
constexpr double kZ = 1.959963984540054;  // 97.5 % point of the normal distribution

// What one problem adds to a mean: the sum over its trials and how many there are.
struct Cluster {
  double sum = 0;
  double count = 0;
};

// Clusters in order of first appearance.
class Clusters {
 public:
  void add(const std::string& problem, double value) {
    const auto [entry, is_new] = index_.try_emplace(problem, clusters_.size());
    if (is_new) clusters_.emplace_back();
    clusters_[entry->second].sum += value;
    clusters_[entry->second].count += 1;
  }
  const std::vector<Cluster>& get() const { return clusters_; }

 private:
  std::map<std::string, size_t> index_;
  std::vector<Cluster> clusters_;
};

double mean_of(const std::vector<Cluster>& clusters) {
  double sum = 0;
  double count = 0;
  for (const Cluster& cluster : clusters) {
    sum += cluster.sum;
    count += cluster.count;
  }
  return sum / count;
}

// Resamples whole clusters; the interval is between the 2.5 % and 97.5 % points of the means.
Interval bootstrap_mean(const std::vector<Cluster>& clusters, uint64_t seed) {
  Rng rng(stream_key(seed, 0xb007));
  std::vector<double> means(kResamples);
  for (double& mean : means) {
    double sum = 0;
    double count = 0;
    for (size_t i = 0; i < clusters.size(); ++i) {
      const Cluster& drawn = clusters[rng.below(clusters.size())];
      sum += drawn.sum;
      count += drawn.count;
    }
    mean = sum / count;
  }
  std::sort(means.begin(), means.end());
  const auto cut = static_cast<size_t>(kResamples * 0.025);
  return {mean_of(clusters), means[cut], means[kResamples - 1 - cut]};
}

// The smallest interval that holds both, cut to [lo, hi].
Interval joined(const Interval& a, const Interval& b, double lo, double hi) {
  return {a.value, std::max(lo, std::min(a.lo, b.lo)), std::min(hi, std::max(a.hi, b.hi))};
}

// Number of independent outcomes that would give a mean of the same variance as these clusters do.
double effective_size(const std::vector<Cluster>& clusters, double mean) {
  const auto problems = static_cast<double>(clusters.size());
  double outcomes = 0;
  double squares = 0;
  for (const Cluster& cluster : clusters) {
    outcomes += cluster.count;
    const double deviation = cluster.sum - mean * cluster.count;
    squares += deviation * deviation;
  }
  if (squares <= 0 || problems < 2) return problems;
  const double variance = squares / (outcomes * outcomes) * problems / (problems - 1);
  return std::clamp(mean * (1 - mean) / variance, problems, outcomes);
}

// Interval of the share of problems won minus the share lost: the distances from each share to its Wilson bounds, added
// in squares with the correlation -sqrt(odds * odds) that two shares of one multinomial have.
Interval won_minus_lost(const std::vector<Cluster>& clusters) {
  const auto n = static_cast<double>(clusters.size());
  double won = 0;
  double lost = 0;
  for (const Cluster& cluster : clusters) (cluster.sum > 0 ? won : lost) += std::abs(cluster.sum / cluster.count) / n;
  won = std::min(won, 1.0);
  lost = std::min(lost, 1.0);
  const Interval win = wilson_interval(won, n);
  const Interval loss = wilson_interval(lost, n);
  const double odds = won > 0 && lost > 0 ? won * lost / ((1 - won) * (1 - lost)) : 0.0;
  const double correlation = -std::min(1.0, std::sqrt(odds));
  const auto distance = [&](double x, double y) { return std::sqrt(x * x + y * y - 2 * correlation * x * y); };
  const double value = won - lost;
  return {value, value - distance(won - win.lo, loss.hi - lost), value + distance(win.hi - won, lost - loss.lo)};
}

}  // namespace

Interval wilson_interval(double p, double n) {
  const double z2 = kZ * kZ;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At the ends one bound is p itself, up to rounding.
  return {p, std::clamp(centre - half, 0.0, p), std::clamp(centre + half, p, 1.0)};
}

Interval accuracy_interval(const std::vector<Outcome>& outcomes, uint64_t seed) {
  if (outcomes.empty()) return {0, 0, 1};
  Clusters clusters;
  for (const Outcome& outcome : outcomes) clusters.add(outcome.problem, outcome.correct ? 1.0 : 0.0);
  const Interval bootstrap = bootstrap_mean(clusters.get(), seed);
  const double size = effective_size(clusters.get(), bootstrap.value);
  return joined(bootstrap, wilson_interval(bootstrap.value, size), 0, 1);
}

Interval paired_difference(const std::vector<Outcome>& a, const std::vector<Outcome>& b, uint64_t seed) {
  std::map<std::pair<std::string, int>, bool> other;
  for (const Outcome& outcome : b) other[{outcome.problem, outcome.trial}] = outcome.correct;
  Clusters clusters;
  for (const Outcome& outcome : a) {
    const auto pair = other.find({outcome.problem, outcome.trial});
    if (pair == other.end()) continue;
    clusters.add(outcome.problem, (outcome.correct ? 1.0 : 0.0) - (pair->second ? 1.0 : 0.0));
  }
  if (clusters.get().empty()) return {0, -1, 1};
  return joined(bootstrap_mean(clusters.get(), seed), won_minus_lost(clusters.get()), -1, 1);
}

Interval median_interval(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  // The interval [x(k), x(n-1-k)], counted from 0, misses with probability 2 P(Binomial(n, 1/2) <= k).
  const auto point = [total = static_cast<double>(n)](double i) {  // P(Binomial = i)
    return std::exp(std::lgamma(total + 1) - std::lgamma(i + 1) - std::lgamma(total - i + 1) - total * std::log(2.0));
  };
  size_t k = 0;
  for (double tail = point(0) + point(1); tail <= 0.025; tail += point(static_cast<double>(k + 1))) ++k;
  return {(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples[k], samples[n - 1 - k]};
}

}  // namespace vortex::evals
