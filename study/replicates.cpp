#include "study/replicates.h"

#include <cmath>
#include <map>
#include <numbers>
#include <string>

#include "base/rng.h"

namespace vortex::study {
namespace {

// A standard normal number (Box and Muller 1958).
double normal(Rng& rng) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * rng.uniform());
}

double resampled_accuracy(const std::vector<double>& means, const std::vector<size_t>& sample, double fallback) {
  double sum = 0;
  double count = 0;
  for (size_t problem : sample) {
    if (means[problem] < 0) { continue; }
    sum += means[problem];
    count += 1;
  }
  return count > 0 ? sum / count : fallback;
}

}  // namespace

Replicates::Replicates(const std::vector<Point>& points, uint64_t seed) : points_(points), seed_(seed) {
  std::map<std::string, size_t> numbers;
  for (const Point& point : points) {
    for (size_t i = 0; i < point.outcomes.size(); ++i) {
      numbers.emplace(point.outcomes.question(i).problem, numbers.size());
    }
  }
  problems_ = numbers.size();
  for (const Point& point : points) {
    std::vector<double> correct(problems_, 0.0);
    std::vector<double> trials(problems_, 0.0);
    for (size_t i = 0; i < point.outcomes.size(); ++i) {
      const size_t number = numbers.at(point.outcomes.question(i).problem);
      correct[number] += point.outcomes.right(i) ? 1.0 : 0.0;
      trials[number] += 1.0;
    }
    for (size_t i = 0; i < problems_; ++i) { correct[i] = trials[i] > 0 ? correct[i] / trials[i] : -1.0; }
    means_.push_back(std::move(correct));
  }
}

Replicates::World Replicates::draw(int number) const {
  Rng rng(stream_key(seed_, static_cast<uint64_t>(number)));
  std::vector<size_t> sample(problems_);
  for (size_t& problem : sample) { problem = rng.below(problems_); }
  World world;
  world.accuracy.reserve(points_.size());
  world.speed.reserve(points_.size());
  for (size_t i = 0; i < points_.size(); ++i) {
    const Speed& speed = points_[i].speed;
    world.accuracy.push_back(resampled_accuracy(means_[i], sample, points_[i].accuracy.value));
    world.speed.push_back(speed.ratio.value * std::exp(speed.error * normal(rng)));
  }
  return world;
}

}  // namespace vortex::study
