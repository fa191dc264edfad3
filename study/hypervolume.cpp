#include "study/hypervolume.h"

#include <algorithm>
#include <numeric>

#include "base/rng.h"
#include "study/replicates.h"

namespace vortex::study {
namespace {

// The mean of the samples between their 2.5 % and 97.5 % points.
evals::Interval interval_of(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const double mean = std::accumulate(samples.begin(), samples.end(), 0.0) / static_cast<double>(samples.size());
  const auto cut = static_cast<size_t>(static_cast<double>(samples.size()) * 0.025);
  return {mean, samples[cut], samples[samples.size() - 1 - cut]};
}

// `count` of the numbers below `from`, each set equally likely.
std::vector<size_t> drawn(size_t count, size_t from, Rng& rng) {
  std::vector<size_t> numbers(from);
  std::iota(numbers.begin(), numbers.end(), size_t{0});
  for (size_t i = 0; i < count; ++i) std::swap(numbers[i], numbers[i + rng.below(from - i)]);
  numbers.resize(count);
  return numbers;
}

// What the drawn evaluations of an arm add to the base; those beyond its points failed.
double gain(const Replicates::World& world, size_t base, size_t first, size_t points, const std::vector<size_t>& draw) {
  std::vector<double> accuracy(world.accuracy.begin(), world.accuracy.begin() + static_cast<std::ptrdiff_t>(base));
  std::vector<double> speed(world.speed.begin(), world.speed.begin() + static_cast<std::ptrdiff_t>(base));
  const double before = hypervolume(accuracy, speed);
  for (size_t number : draw) {
    if (number >= points) continue;
    accuracy.push_back(world.accuracy[first + number]);
    speed.push_back(world.speed[first + number]);
  }
  return hypervolume(accuracy, speed) - before;
}

}  // namespace

double hypervolume(const std::vector<double>& accuracy, const std::vector<double>& speed) {
  std::vector<size_t> order(accuracy.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return speed[a] > speed[b]; });
  double area = 0;
  double height = 0;
  for (size_t i : order) {
    if (accuracy[i] <= height || speed[i] <= 0) continue;
    area += (accuracy[i] - height) * speed[i];
    height = accuracy[i];
  }
  return area;
}

evals::Interval hypervolume_interval(const std::vector<Point>& points, uint64_t seed) {
  std::vector<double> accuracy;
  std::vector<double> speed;
  for (const Point& point : points) {
    accuracy.push_back(point.accuracy.value);
    speed.push_back(point.speed.value);
  }
  const double value = hypervolume(accuracy, speed);
  const Replicates worlds(points, seed);
  std::vector<double> samples;
  for (int i = 0; i < Replicates::kCount; ++i) {
    const Replicates::World world = worlds.draw(i);
    samples.push_back(hypervolume(world.accuracy, world.speed));
  }
  const evals::Interval spread = interval_of(std::move(samples));
  return {value, std::min(value, spread.lo), std::max(value, spread.hi)};
}

ArmComparison compare_arms(const std::vector<Point>& base, const Arm& search, const Arm& control, uint64_t seed) {
  ArmComparison comparison;
  comparison.matched = std::min(search.evaluations, control.evaluations);
  if (comparison.matched == 0) return comparison;
  std::vector<Point> points = base;
  points.insert(points.end(), search.points.begin(), search.points.end());
  points.insert(points.end(), control.points.begin(), control.points.end());
  const Replicates worlds(points, seed);
  const auto matched = static_cast<size_t>(comparison.matched);
  std::vector<double> of_search;
  std::vector<double> of_control;
  std::vector<double> differences;
  for (int i = 0; i < Replicates::kCount; ++i) {
    const Replicates::World world = worlds.draw(i);
    Rng rng(stream_key(seed, static_cast<uint64_t>(i), 0xa5));
    const auto gain_of = [&](const Arm& arm, size_t first) {
      const std::vector<size_t> draw = drawn(matched, static_cast<size_t>(arm.evaluations), rng);
      return gain(world, base.size(), first, arm.points.size(), draw) / comparison.matched;
    };
    of_search.push_back(gain_of(search, base.size()));
    of_control.push_back(gain_of(control, base.size() + search.points.size()));
    differences.push_back(of_search.back() - of_control.back());
  }
  comparison.search = interval_of(std::move(of_search));
  comparison.control = interval_of(std::move(of_control));
  comparison.difference = interval_of(std::move(differences));
  return comparison;
}

}  // namespace vortex::study
