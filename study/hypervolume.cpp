#include "study/hypervolume.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/rng.h"
#include "study/replicates.h"
#include "study/staircase.h"

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
  for (size_t i = 0; i < count; ++i) { std::swap(numbers[i], numbers[i + rng.below(from - i)]); }
  numbers.resize(count);
  return numbers;
}

// One evaluation of an arm; one that failed has no speed and adds nothing.
struct Evaluated {
  double accuracy = 0;
  double speed = 0;
};

class Arms {
 public:
  Arms(const std::vector<Point>& base, const Arm& search, const Arm& control) : first_(size(search)) {
    for (const Point& point : base) { base_.push_back({point.accuracy.value, point.speed.ratio.value}); }
    add(search);
    add(control);
    matched_ = std::min(first_, all_.size() - first_);
    empty_ = area({});
  }

  size_t matched() const { return matched_; }
  size_t evaluations() const { return all_.size(); }

  // What the arms gain an evaluation if `order` deals the evaluations to them: those of the search come first.
  std::pair<double, double> gains(const std::vector<size_t>& order, Rng& rng) const {
    // Of arms of one size there is only one subset.
    const int draws = 2 * matched_ == all_.size() ? 1 : kDraws;
    std::pair<double, double> sum;
    for (int i = 0; i < draws; ++i) {
      sum.first += gain(order, 0, first_, rng) / draws;
      sum.second += gain(order, first_, all_.size() - first_, rng) / draws;
    }
    return sum;
  }

 private:
  static constexpr int kDraws = 16;

  static size_t size(const Arm& arm) { return static_cast<size_t>(arm.evaluations); }

  void add(const Arm& arm) {
    for (const Point& point : arm.points) { all_.push_back({point.accuracy.value, point.speed.ratio.value}); }
    all_.resize(all_.size() + size(arm) - arm.points.size());
  }

  double area(const std::vector<Evaluated>& more) const {
    std::vector<double> accuracy;
    std::vector<double> speed;
    for (const auto* group : {&base_, &more}) {
      for (const Evaluated& one : *group) {
        if (one.speed <= 0) { continue; }
        accuracy.push_back(one.accuracy);
        speed.push_back(one.speed);
      }
    }
    return hypervolume(accuracy, speed);
  }

  double gain(const std::vector<size_t>& order, size_t first, size_t count, Rng& rng) const {
    std::vector<Evaluated> taken;
    for (const size_t number : drawn(matched_, count, rng)) { taken.push_back(all_[order[first + number]]); }
    return (area(taken) - empty_) / static_cast<double>(matched_);
  }

  size_t first_;  // evaluations of the search
  size_t matched_ = 0;
  double empty_ = 0;
  std::vector<Evaluated> base_;
  std::vector<Evaluated> all_;
};

}  // namespace

double hypervolume(const std::vector<double>& accuracy, const std::vector<double>& speed) {
  Staircase staircase;
  for (size_t i = 0; i < accuracy.size(); ++i) {
    if (speed[i] > 0 && accuracy[i] > 0) { staircase.add(speed[i], accuracy[i]); }
  }
  double area = 0;
  double height = 0;
  for (const Staircase::Step& step : staircase.steps()) {
    area += (step.accuracy - height) * step.speed;
    height = step.accuracy;
  }
  return area;
}

evals::Interval hypervolume_interval(const std::vector<Point>& points, uint64_t seed) {
  std::vector<double> accuracy;
  std::vector<double> speed;
  for (const Point& point : points) {
    accuracy.push_back(point.accuracy.value);
    speed.push_back(point.speed.ratio.value);
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
  constexpr int kLots = 999;
  const Arms arms(base, search, control);
  ArmComparison comparison;
  comparison.matched = static_cast<int>(arms.matched());
  if (comparison.matched == 0) { return comparison; }
  Rng rng(stream_key(seed, 0xa5));
  std::vector<size_t> order(arms.evaluations());
  std::iota(order.begin(), order.end(), size_t{0});
  std::tie(comparison.search, comparison.control) = arms.gains(order, rng);
  comparison.difference = comparison.search - comparison.control;
  int as_far = 0;
  for (int lot = 0; lot < kLots; ++lot) {
    const auto [one, other] = arms.gains(drawn(order.size(), order.size(), rng), rng);
    as_far += std::abs(one - other) >= std::abs(comparison.difference) - 1e-12 ? 1 : 0;
  }
  comparison.p = (as_far + 1.0) / (kLots + 1.0);
  return comparison;
}

}  // namespace vortex::study
