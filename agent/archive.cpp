#include "agent/archive.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "core/base/rng.h"

namespace vortex::agent {
namespace {

constexpr int kWorlds = 500;
// The bar of both comparisons: two disjoint 95 % intervals of equal width lie sqrt(2) * 1.96 standard errors of their
// difference apart. One plain 95 % interval a comparison would let one in every few dozen equal policies in by luck.
constexpr double kCaution = std::numbers::sqrt2;
constexpr double kIntervalSigmas = 2 * 1.959964;  // width of a 95 % interval in standard deviations

// Mean correctness of each problem, by the number that the problem has over all points; -1: not tried.
struct ProblemTable {
  size_t problems = 0;
  std::vector<std::vector<double>> means;  // [point][problem]
};

ProblemTable tabulate(const std::vector<Point>& points) {
  std::map<std::string, size_t> numbers;
  for (const Point& point : points) {
    for (const evals::Outcome& outcome : point.outcomes) numbers.emplace(outcome.problem, numbers.size());
  }
  ProblemTable table{numbers.size(), {}};
  for (const Point& point : points) {
    std::vector<double> correct(numbers.size(), 0.0);
    std::vector<double> trials(numbers.size(), 0.0);
    for (const evals::Outcome& outcome : point.outcomes) {
      const size_t number = numbers.at(outcome.problem);
      correct[number] += outcome.correct ? 1.0 : 0.0;
      trials[number] += 1.0;
    }
    for (size_t i = 0; i < correct.size(); ++i) correct[i] = trials[i] > 0 ? correct[i] / trials[i] : -1.0;
    table.means.push_back(std::move(correct));
  }
  return table;
}

// A standard normal number (Box and Muller 1958).
double normal(Rng& rng) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * rng.uniform());
}

double resampled_accuracy(const std::vector<double>& means, const std::vector<size_t>& sample, double fallback) {
  double sum = 0;
  double count = 0;
  for (size_t problem : sample) {
    if (means[problem] < 0) continue;
    sum += means[problem];
    count += 1;
  }
  return count > 0 ? sum / count : fallback;
}

bool dominates(double accuracy_a, double speed_a, double accuracy_b, double speed_b) {
  return accuracy_a >= accuracy_b && speed_a >= speed_b && (accuracy_a > accuracy_b || speed_a > speed_b);
}

}  // namespace

Advantage compare_accuracy(const Point& a, const Point& b, uint64_t seed) {
  const evals::Interval difference = evals::paired_difference(a.outcomes, b.outcomes, seed);
  if (difference.value - kCaution * (difference.value - difference.lo) > 0) return Advantage::kBetter;
  if (difference.value + kCaution * (difference.hi - difference.value) < 0) return Advantage::kWorse;
  return Advantage::kInconclusive;
}

Advantage compare_speed(const Point& a, const Point& b) {
  if (a.speed.lo > b.speed.hi) return Advantage::kBetter;
  if (a.speed.hi < b.speed.lo) return Advantage::kWorse;
  return Advantage::kInconclusive;
}

bool Archive::add(Point point) {
  for (const Point& known : points_) {
    if (known.key == point.key) return false;
  }
  points_.push_back(std::move(point));
  const Point& challenger = points_.back();
  std::vector<bool> leaves(front_.size(), false);
  for (size_t i = 0; i < front_.size(); ++i) {
    const Point& incumbent = points_[front_[i]];
    const bool faster = compare_speed(challenger, incumbent) == Advantage::kBetter;
    // A difference whose value is not positive cannot have an interval above zero: the bootstrap can be spared.
    const bool may_be_better = challenger.accuracy.value > incumbent.accuracy.value;
    const bool more_accurate = may_be_better && compare_accuracy(challenger, incumbent, seed_) == Advantage::kBetter;
    if (!faster && !more_accurate) return false;
    leaves[i] = (faster && challenger.accuracy.value >= incumbent.accuracy.value) ||
                (more_accurate && challenger.speed.value >= incumbent.speed.value);
  }
  std::vector<size_t> front;
  for (size_t i = 0; i < front_.size(); ++i) {
    if (!leaves[i]) front.push_back(front_[i]);
  }
  front.push_back(points_.size() - 1);
  front_ = std::move(front);
  return true;
}

bool Archive::on_front(int64_t candidate) const {
  return std::any_of(front_.begin(), front_.end(), [&](size_t i) { return points_[i].candidate == candidate; });
}

std::vector<double> nondominated_probability(const std::vector<Point>& points, uint64_t seed) {
  const ProblemTable table = tabulate(points);
  std::vector<double> wins(points.size(), 0.0);
  std::vector<double> accuracy(points.size());
  std::vector<double> speed(points.size());
  std::vector<size_t> sample(table.problems);
  for (int world = 0; world < kWorlds; ++world) {
    Rng rng(stream_key(seed, static_cast<uint64_t>(world)));
    for (size_t& problem : sample) problem = rng.below(table.problems);
    for (size_t i = 0; i < points.size(); ++i) {
      accuracy[i] = resampled_accuracy(table.means[i], sample, points[i].accuracy.value);
      const double sigma = (points[i].speed.hi - points[i].speed.lo) / kIntervalSigmas;
      speed[i] = points[i].speed.value + sigma * normal(rng);
    }
    for (size_t i = 0; i < points.size(); ++i) {
      bool dominated = false;
      for (size_t j = 0; j < points.size() && !dominated; ++j) {
        dominated = dominates(accuracy[j], speed[j], accuracy[i], speed[i]);
      }
      if (!dominated) wins[i] += 1.0;
    }
  }
  for (double& win : wins) win /= kWorlds;
  return wins;
}

}  // namespace vortex::agent
