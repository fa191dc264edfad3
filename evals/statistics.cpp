#include "evals/statistics.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/rng.h"
#include "evals/beta_binomial.h"

namespace vortex::evals {
namespace {

constexpr int kResamples = 2000;

// What one problem adds to a mean: the sum over its trials and how many there are.
struct Cluster {
  double sum = 0;
  double count = 0;
};

// Clusters in order of first appearance.
class Clusters {
 public:
  void add(std::string_view problem, double value) {
    const auto [entry, is_new] = index_.try_emplace(problem, clusters_.size());
    if (is_new) { clusters_.emplace_back(); }
    clusters_[entry->second].sum += value;
    clusters_[entry->second].count += 1;
  }
  const std::vector<Cluster>& get() const { return clusters_; }

 private:
  std::unordered_map<std::string_view, size_t> index_;  // into strings of the outcomes
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

// Number of independent outcomes, each of variance `variance_of_one`, that would give a mean of the same variance as
// these clusters do.
double effective_size(const std::vector<Cluster>& clusters, double mean, double variance_of_one) {
  const auto problems = static_cast<double>(clusters.size());
  double outcomes = 0;
  double squares = 0;
  for (const Cluster& cluster : clusters) {
    outcomes += cluster.count;
    const double deviation = cluster.sum - mean * cluster.count;
    squares += deviation * deviation;
  }
  if (squares <= 0 || problems < 2) { return problems; }
  const double variance = squares / (outcomes * outcomes) * problems / (problems - 1);
  return std::clamp(variance_of_one / variance, problems, outcomes);
}

bool one_each(const std::vector<Cluster>& clusters) {
  return std::all_of(clusters.begin(), clusters.end(), [](const Cluster& cluster) { return cluster.count == 1; });
}

struct Pairs {
  Clusters clusters;  // of the differences, a - b
  double count = 0;
  double won = 0;  // by a
  double lost = 0;
};

// The (problem, trial) pairs that both have, in the order of `a`.
Pairs paired(const std::vector<job::Outcome>& a, const std::vector<job::Outcome>& b) {
  std::unordered_map<std::string_view, std::vector<std::pair<int, bool>>> other;
  for (const job::Outcome& outcome : b) { other[outcome.problem].emplace_back(outcome.trial, outcome.correct); }
  Pairs pairs;
  for (const job::Outcome& outcome : a) {
    const auto problem = other.find(outcome.problem);
    if (problem == other.end()) { continue; }
    const auto& trials = problem->second;
    const auto trial =
        std::find_if(trials.begin(), trials.end(), [&](const auto& t) { return t.first == outcome.trial; });
    if (trial == trials.end()) { continue; }
    pairs.clusters.add(outcome.problem, (outcome.correct ? 1.0 : 0.0) - (trial->second ? 1.0 : 0.0));
    pairs.count += 1;
    pairs.won += outcome.correct && !trial->second ? 1.0 : 0.0;
    pairs.lost += !outcome.correct && trial->second ? 1.0 : 0.0;
  }
  return pairs;
}

}  // namespace

Interval wilson_interval(double p, double n, double sigmas) {
  const double z2 = sigmas * sigmas;
  const double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = sigmas / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  // At the ends one bound is p itself, up to rounding.
  return {p, std::clamp(centre - half, 0.0, p), std::clamp(centre + half, p, 1.0)};
}

Interval accuracy_interval(const std::vector<job::Outcome>& outcomes, uint64_t seed) {
  if (outcomes.empty()) { return {0, 0, 1}; }
  Clusters clusters;
  for (const job::Outcome& outcome : outcomes) { clusters.add(outcome.problem, outcome.correct ? 1.0 : 0.0); }
  const Interval bootstrap = bootstrap_mean(clusters.get(), seed);
  const double size = effective_size(clusters.get(), bootstrap.value, bootstrap.value * (1 - bootstrap.value));
  const Interval wilson = joined(bootstrap, wilson_interval(bootstrap.value, size), 0, 1);
  if (one_each(clusters.get())) { return wilson; }
  std::vector<std::pair<int, int>> counts;
  for (const Cluster& cluster : clusters.get()) {
    counts.emplace_back(static_cast<int>(cluster.sum), static_cast<int>(cluster.count));
  }
  return joined(wilson, beta_binomial_interval(counts), 0, 1);
}

// The distances from each share to its Wilson bounds, added in squares with the correlation -sqrt(odds * odds) that two
// shares of one multinomial have.
Interval difference_interval(double won, double lost, double n, double sigmas) {
  const Interval win = wilson_interval(won, n, sigmas);
  const Interval loss = wilson_interval(lost, n, sigmas);
  const double odds = won > 0 && lost > 0 ? won * lost / ((1 - won) * (1 - lost)) : 0.0;
  const double correlation = -std::min(1.0, std::sqrt(odds));
  const auto distance = [&](double x, double y) { return std::sqrt(x * x + y * y - 2 * correlation * x * y); };
  const double value = won - lost;
  return {value, value - distance(won - win.lo, loss.hi - lost), value + distance(win.hi - won, lost - loss.lo)};
}

Interval paired_difference(const std::vector<job::Outcome>& a, const std::vector<job::Outcome>& b, uint64_t seed,
                           double sigmas) {
  const Pairs pairs = paired(a, b);
  if (pairs.count == 0) { return {0, -1, 1}; }
  const std::vector<Cluster>& clusters = pairs.clusters.get();
  const double won = pairs.won / pairs.count;
  const double lost = pairs.lost / pairs.count;
  const double size = effective_size(clusters, won - lost, won + lost - (won - lost) * (won - lost));
  Interval combined = difference_interval(won, lost, size, sigmas);
  combined.value = (pairs.won - pairs.lost) / pairs.count;
  if (one_each(clusters)) { return joined(combined, combined, -1, 1); }
  Interval bootstrap = bootstrap_mean(clusters, seed);
  bootstrap.lo = bootstrap.value - sigmas / kSigmas * (bootstrap.value - bootstrap.lo);
  bootstrap.hi = bootstrap.value + sigmas / kSigmas * (bootstrap.hi - bootstrap.value);
  return joined(combined, bootstrap, -1, 1);
}

double paired_mean(const std::vector<job::Outcome>& a, const std::vector<job::Outcome>& b) {
  const Pairs pairs = paired(a, b);
  return pairs.count > 0 ? (pairs.won - pairs.lost) / pairs.count : 0.0;
}

Interval pass_at_k(const std::vector<job::Outcome>& outcomes, int k, uint64_t seed) {
  std::map<std::string, std::pair<int, int>> trials;  // right ones and all
  for (const job::Outcome& outcome : outcomes) {
    auto& [right, all] = trials[outcome.problem];
    right += outcome.correct ? 1 : 0;
    all += 1;
  }
  Clusters clusters;
  for (const auto& [problem, counts] : trials) {
    const auto& [right, all] = counts;
    if (k < 1 || all < k) { continue; }
    double all_wrong = 1;  // C(n-c, k) / C(n, k), factor by factor: zero once fewer than k are wrong
    for (int i = 0; i < k; ++i) { all_wrong *= std::max(0.0, static_cast<double>(all - right - i)) / (all - i); }
    clusters.add(problem, 1 - all_wrong);
  }
  if (clusters.get().empty()) { return {0, 0, 1}; }
  return bootstrap_mean(clusters.get(), seed);
}

Interval mean_interval(const std::vector<double>& samples, uint64_t seed) {
  if (samples.empty()) { return {}; }
  std::vector<Cluster> clusters;
  for (const double sample : samples) { clusters.push_back({sample, 1}); }
  return bootstrap_mean(clusters, seed);
}

Interval median_interval(std::vector<double> samples) {
  if (samples.empty()) { return {}; }
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  // The interval [x(k), x(n-1-k)], counted from 0, misses with probability 2 P(Binomial(n, 1/2) <= k).
  const auto point = [total = static_cast<double>(n)](double i) {  // P(Binomial = i)
    return std::exp(std::lgamma(total + 1) - std::lgamma(i + 1) - std::lgamma(total - i + 1) - total * std::log(2.0));
  };
  size_t k = 0;
  for (double tail = point(0) + point(1); tail <= 0.025; tail += point(static_cast<double>(k + 1))) { ++k; }
  return {(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples[k], samples[n - 1 - k]};
}

}  // namespace vortex::evals
