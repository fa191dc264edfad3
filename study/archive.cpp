#include "study/archive.h"

#include <algorithm>
#include <numbers>

#include "study/replicates.h"

namespace vortex::study {
namespace {

// The bar of both comparisons: two disjoint 95 % intervals of equal width lie sqrt(2) * 1.96 standard errors of their
// difference apart. One plain 95 % interval a comparison would let one in every few dozen equal policies in by luck.
constexpr double kCaution = std::numbers::sqrt2;

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
    const double difference = evals::paired_mean(challenger.outcomes, incumbent.outcomes);
    // A difference whose value is not positive cannot have an interval above zero: the bootstrap can be spared.
    const bool more_accurate = difference > 0 && compare_accuracy(challenger, incumbent, seed_) == Advantage::kBetter;
    if (!faster && !more_accurate) return false;
    leaves[i] = !incumbent.reference &&
                ((faster && difference >= 0) || (more_accurate && challenger.speed.value >= incumbent.speed.value));
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
  const Replicates worlds(points, seed);
  std::vector<double> wins(points.size(), 0.0);
  for (int number = 0; number < Replicates::kCount; ++number) {
    const Replicates::World world = worlds.draw(number);
    for (size_t i = 0; i < points.size(); ++i) {
      bool dominated = false;
      for (size_t j = 0; j < points.size() && !dominated; ++j) {
        dominated = dominates(world.accuracy[j], world.speed[j], world.accuracy[i], world.speed[i]);
      }
      if (!dominated) wins[i] += 1.0;
    }
  }
  for (double& win : wins) win /= Replicates::kCount;
  return wins;
}

}  // namespace vortex::study
