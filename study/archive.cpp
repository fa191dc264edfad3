#include "study/archive.h"

#include <algorithm>
#include <numbers>

#include "evals/noninferiority.h"
#include "study/replicates.h"
#include "study/staircase.h"

namespace vortex::study {
namespace {

// The bar of both comparisons: 2.77 standard errors. One plain 95 % interval a comparison would let one in every few
// dozen equal policies in by luck.
constexpr double kCaution = std::numbers::sqrt2;
constexpr double kSpeedLevel = 0.0028;  // one-sided, what a normal number leaves beyond sqrt(2) * 1.96
constexpr double kPlausible = 0.05;     // of an undecided point to be on the front

}  // namespace

Advantage compare_accuracy(const Point& a, const Point& b, uint64_t seed) {
  const evals::Interval difference = evals::paired_difference(a.outcomes, b.outcomes, seed);
  if (difference.value - kCaution * (difference.value - difference.lo) > 0) { return Advantage::kBetter; }
  if (difference.value + kCaution * (difference.hi - difference.value) < 0) { return Advantage::kWorse; }
  return Advantage::kInconclusive;
}

Advantage compare_speed(const Point& a, const Point& b) {
  if (surely_faster(a.speed, b.speed, kSpeedLevel)) { return Advantage::kBetter; }
  if (surely_faster(b.speed, a.speed, kSpeedLevel)) { return Advantage::kWorse; }
  return Advantage::kInconclusive;
}

bool Archive::add(Point point) {
  if (!keys_.insert(point.key).second) { return false; }
  places_[point.candidate] = points_.size();
  points_.push_back(std::move(point));
  const Point& challenger = points_.back();
  std::vector<bool> leaves(front_.size(), false);
  for (size_t i = 0; i < front_.size(); ++i) {
    const Point& incumbent = points_[front_[i]];
    const bool faster = compare_speed(challenger, incumbent) == Advantage::kBetter;
    const double difference = evals::paired_mean(challenger.outcomes, incumbent.outcomes);
    // A difference whose value is not positive cannot have an interval above zero: the bootstrap can be spared.
    const bool more_accurate = difference > 0 && compare_accuracy(challenger, incumbent, seed_) == Advantage::kBetter;
    if (!faster && !more_accurate) { return false; }
    leaves[i] =
        !incumbent.reference &&
        ((faster && difference >= 0) || (more_accurate && challenger.speed.ratio.value >= incumbent.speed.ratio.value));
  }
  std::vector<size_t> front;
  for (size_t i = 0; i < front_.size(); ++i) {
    if (!leaves[i]) { front.push_back(front_[i]); }
  }
  front.push_back(points_.size() - 1);
  front_ = std::move(front);
  return true;
}

bool Archive::on_front(int64_t candidate) const {
  return std::any_of(front_.begin(), front_.end(), [&](size_t i) { return points_[i].candidate == candidate; });
}

const Point* Archive::find(int64_t candidate) const {
  const auto found = places_.find(candidate);
  return found == places_.end() ? nullptr : &points_[found->second];
}

const Point* Archive::reference() const {
  const auto found = std::find_if(points_.begin(), points_.end(), [](const Point& point) { return point.reference; });
  return found == points_.end() ? nullptr : &*found;
}

bool Archive::is_excluded(size_t point) const {
  return std::any_of(front_.begin(), front_.end(), [&](size_t i) {
    const Point& member = points_[i];
    if (compare_speed(points_[point], member) == Advantage::kBetter) { return false; }
    const evals::Interval difference = evals::paired_difference(member.outcomes, points_[point].outcomes, seed_);
    return evals::judge_keeping(difference, margin_) == evals::Keeping::kKept;
  });
}

std::vector<Archive::Undecided> Archive::undecided() const {
  const std::vector<double> probability = nondominated_probability(points_, seed_);
  std::vector<Undecided> open;
  for (size_t i = 0; i < points_.size(); ++i) {
    const bool member = std::count(front_.begin(), front_.end(), i) > 0;
    if (!member && probability[i] >= kPlausible && !is_excluded(i)) { open.push_back({i, probability[i]}); }
  }
  std::stable_sort(open.begin(), open.end(),
                   [](const Undecided& a, const Undecided& b) { return a.probability > b.probability; });
  return open;
}

std::vector<double> nondominated_probability(const std::vector<Point>& points, uint64_t seed) {
  const Replicates worlds(points, seed);
  std::vector<double> wins(points.size(), 0.0);
  for (int number = 0; number < Replicates::kCount; ++number) {
    const Replicates::World world = worlds.draw(number);
    Staircase best;
    for (size_t i = 0; i < points.size(); ++i) { best.add(world.speed[i], world.accuracy[i]); }
    for (size_t i = 0; i < points.size(); ++i) { wins[i] += best.holds(world.speed[i], world.accuracy[i]) ? 1.0 : 0.0; }
  }
  for (double& win : wins) { win /= Replicates::kCount; }
  return wins;
}

}  // namespace vortex::study
