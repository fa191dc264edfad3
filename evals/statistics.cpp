#include "evals/statistics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/rng.h"
#include "evals/beta_binomial.h"
#include "evals/distributions.h"

namespace vortex::evals {
namespace {

constexpr int kResamples = 2000;
// What mid-P leaves out on each side. With 0.025 it holds some shares of few problems in less than 93 % (16 problems,
// 0.5: 0.923), with this none from 8 problems on (docs/benchmarks/selection.md).
constexpr double kMidPTail = 0.024;

// What one problem adds to a mean: the sum over its trials and how many there are.
struct Cluster {
  double sum = 0;
  double count = 0;
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

struct Pairs {
  std::vector<Cluster> clusters;  // of the differences, a - b; empty where each problem has one pair
  double count = 0;
  double won = 0;  // by a
  double lost = 0;
};

// Both were asked the same: nothing has to be looked up.
Pairs paired_alike(const AnswerSheet& a, const AnswerSheet& b) {
  Pairs pairs;
  size_t won = 0;
  size_t lost = 0;
  a.compare(b, won, lost);
  pairs.count = static_cast<double>(a.size());
  pairs.won = static_cast<double>(won);
  pairs.lost = static_cast<double>(lost);
  if (a.one_each()) { return pairs; }
  pairs.clusters.resize(a.problems());
  for (size_t i = 0; i < a.size(); ++i) {
    Cluster& cluster = pairs.clusters[a.question(i).number];
    cluster.sum += (a.right(i) ? 1.0 : 0.0) - (b.right(i) ? 1.0 : 0.0);
    cluster.count += 1;
  }
  return pairs;
}

// Adds up pairs of answers, cluster by cluster of `a`'s problems.
class PairSums {
 public:
  PairSums(const AnswerSheet& a, const AnswerSheet& b) : a_(a), b_(b), places_(a.problems(), 0) {}

  void add(size_t of_a, size_t of_b) {
    size_t& place = places_[a_.question(of_a).number];
    if (place == 0) {
      pairs_.clusters.emplace_back();
      place = pairs_.clusters.size();
    }
    const bool own = a_.right(of_a);
    const bool others = b_.right(of_b);
    pairs_.clusters[place - 1].sum += (own ? 1.0 : 0.0) - (others ? 1.0 : 0.0);
    pairs_.clusters[place - 1].count += 1;
    pairs_.count += 1;
    pairs_.won += own && !others ? 1.0 : 0.0;
    pairs_.lost += !own && others ? 1.0 : 0.0;
  }

  Pairs take() {
    if (pairs_.count == static_cast<double>(pairs_.clusters.size())) { pairs_.clusters.clear(); }
    return std::move(pairs_);
  }

 private:
  const AnswerSheet& a_;
  const AnswerSheet& b_;
  std::vector<size_t> places_;  // of a problem's cluster, plus one
  Pairs pairs_;
};

// Who answered retests has the questions of those who did not, and more behind them.
bool one_begins_the_other(const AnswerSheet& a, const AnswerSheet& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a.question(i) != b.question(i)) { return false; }
  }
  return true;
}

// The (problem, trial) pairs that both have, in the order of `a`.
Pairs paired(const AnswerSheet& a, const AnswerSheet& b) {
  if (a.shares(b)) { return paired_alike(a, b); }
  PairSums sums(a, b);
  if (one_begins_the_other(a, b)) {
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) { sums.add(i, i); }
    return sums.take();
  }
  std::unordered_map<std::string_view, std::vector<size_t>> other;
  for (size_t i = 0; i < b.size(); ++i) { other[b.question(i).problem].push_back(i); }
  for (size_t i = 0; i < a.size(); ++i) {
    const AnswerSheet::Question& question = a.question(i);
    const auto problem = other.find(question.problem);
    if (problem == other.end()) { continue; }
    const auto& trials = problem->second;
    const auto trial =
        std::find_if(trials.begin(), trials.end(), [&](size_t at) { return b.question(at).trial == question.trial; });
    if (trial != trials.end()) { sums.add(i, *trial); }
  }
  return sums.take();
}

}  // namespace

Interval mid_p_interval(double p, double n) {
  // Shares under which as many right ones or more, half of just as many not counted, are too rare lie below.
  const auto lowest = [n](double right) {
    if (right <= 0) { return 0.0; }
    double lo = 0;
    double hi = 1;
    for (int step = 0; step < 36; ++step) {
      const double middle = (lo + hi) / 2;
      const double more = right < n ? incomplete_beta(middle, right + 1, std::max(n - right, 1e-9)) : 0;
      const double tail = (incomplete_beta(middle, right, n - right + 1) + more) / 2;
      (tail < kMidPTail ? lo : hi) = middle;
    }
    return lo;
  };
  return {p, std::min(p, lowest(p * n)), std::max(p, 1 - lowest((1 - p) * n))};
}

Interval accuracy_interval(const AnswerSheet& answers, uint64_t seed) {
  if (answers.empty()) { return {0, 0, 1}; }
  const size_t right = answers.count_right();
  const double value = static_cast<double>(right) / static_cast<double>(answers.size());
  if (answers.one_each()) { return mid_p_interval(value, static_cast<double>(answers.size())); }
  std::vector<Cluster> clusters(answers.problems());
  for (size_t i = 0; i < answers.size(); ++i) {
    Cluster& cluster = clusters[answers.question(i).number];
    cluster.sum += answers.right(i) ? 1.0 : 0.0;
    cluster.count += 1;
  }
  const Interval bootstrap = bootstrap_mean(clusters, seed);
  const double size = effective_size(clusters, bootstrap.value, bootstrap.value * (1 - bootstrap.value));
  const Interval resampled = joined(bootstrap, mid_p_interval(bootstrap.value, size), 0, 1);
  std::vector<std::pair<int, int>> counts;
  for (const Cluster& cluster : clusters) {
    counts.emplace_back(static_cast<int>(cluster.sum), static_cast<int>(cluster.count));
  }
  return joined(resampled, beta_binomial_interval(counts), 0, 1);
}

namespace {

// Of independent pairs: the variance of one if the true difference is `difference`, with the likeliest share of lost
// pairs that there then is (Tango 1998).
double variance_under(double won, double lost, double difference) {
  const double linear = (2 - won + lost) * difference - won - lost;
  const double root = std::sqrt(std::max(0.0, linear * linear + 8 * lost * difference * (1 - difference)));
  return (root - linear) / 2 + difference * (1 - difference);
}

// The lowest true difference that lies `sigmas` standard errors or fewer below what was seen, by Ridders' method.
double lowest_difference(double won, double lost, double n, double sigmas) {
  const double seen = won - lost;
  const auto excess = [&](double difference) {
    return n * (seen - difference) * (seen - difference) - sigmas * sigmas * variance_under(won, lost, difference);
  };
  double lo = -1;
  double hi = seen;
  double of_lo = excess(lo);
  double of_hi = excess(hi);
  double last = lo;
  for (int step = 0; step < 60 && hi - lo > 1e-10; ++step) {
    const double middle = (lo + hi) / 2;
    const double of_middle = excess(middle);
    const double reach = std::sqrt(of_middle * of_middle + of_lo * std::max(0.0, -of_hi));
    const double found = reach > 0 ? middle + (middle - lo) * of_middle / reach : middle;
    (of_middle > 0 ? lo : hi) = middle;
    (of_middle > 0 ? of_lo : of_hi) = of_middle;
    if (found <= lo || found >= hi) { continue; }
    if (std::abs(found - last) < 1e-11) { return found; }
    last = found;
    const double of_found = excess(found);
    (of_found > 0 ? lo : hi) = found;
    (of_found > 0 ? of_lo : of_hi) = of_found;
  }
  return lo;
}

}  // namespace

Interval difference_interval(double won, double lost, double n, double sigmas) {
  return {won - lost, lowest_difference(won, lost, n, sigmas), -lowest_difference(lost, won, n, sigmas)};
}

Interval paired_difference(const AnswerSheet& a, const AnswerSheet& b, uint64_t seed, double sigmas) {
  const Pairs pairs = paired(a, b);
  if (pairs.count == 0) { return {0, -1, 1}; }
  const bool one_each = pairs.clusters.empty();
  const double won = pairs.won / pairs.count;
  const double lost = pairs.lost / pairs.count;
  const double variance = won + lost - (won - lost) * (won - lost);
  const double size = one_each ? pairs.count : effective_size(pairs.clusters, won - lost, variance);
  Interval combined = difference_interval(won, lost, size, sigmas);
  combined.value = (pairs.won - pairs.lost) / pairs.count;
  if (one_each) { return joined(combined, combined, -1, 1); }
  Interval bootstrap = bootstrap_mean(pairs.clusters, seed);
  bootstrap.lo = bootstrap.value - sigmas / kSigmas * (bootstrap.value - bootstrap.lo);
  bootstrap.hi = bootstrap.value + sigmas / kSigmas * (bootstrap.hi - bootstrap.value);
  return joined(combined, bootstrap, -1, 1);
}

double paired_mean(const AnswerSheet& a, const AnswerSheet& b) {
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
  std::vector<Cluster> clusters;
  for (const auto& [problem, counts] : trials) {
    const auto& [right, all] = counts;
    if (k < 1 || all < k) { continue; }
    double all_wrong = 1;  // C(n-c, k) / C(n, k), factor by factor: zero once fewer than k are wrong
    for (int i = 0; i < k; ++i) { all_wrong *= std::max(0.0, static_cast<double>(all - right - i)) / (all - i); }
    clusters.push_back({1 - all_wrong, 1});
  }
  if (clusters.empty()) { return {0, 0, 1}; }
  return bootstrap_mean(clusters, seed);
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
    return std::exp(log_gamma(total + 1) - log_gamma(i + 1) - log_gamma(total - i + 1) - total * std::log(2.0));
  };
  size_t k = 0;
  for (double tail = point(0) + point(1); tail <= 0.025; tail += point(static_cast<double>(k + 1))) { ++k; }
  return {(samples[(n - 1) / 2] + samples[n / 2]) / 2, samples[k], samples[n - 1 - k]};
}

}  // namespace vortex::evals
