#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <set>
#include <vector>

#include "base/rng.h"
#include "study/archive.h"
#include "study/racing.h"

namespace vortex::study {

// What is true of a policy: its place on the logit scale of accuracy, and its speed over dense attention.
struct TrueArm {
  double skill = 0;
  double speed = 1;
};

// An evaluator whose truth is known: 30 problems, up to 16 trials of each. Problems differ in difficulty, which all
// arms share; an arm finds some of them easier than another arm does; trials are independent given these. Measured
// speeds have a relative error of 1 %.
class PlantedTruth {
 public:
  static constexpr int kProblems = 30;
  static constexpr int kTrials = 16;

  PlantedTruth(std::vector<TrueArm> arms, uint64_t seed) : arms_(std::move(arms)), seed_(seed) {}

  size_t size() const { return arms_.size(); }

  // The arm after its first `pairs` (problem, trial) pairs: all problems once, then all again.
  Point measure(size_t arm, int pairs) const {
    Point point;
    point.candidate = static_cast<int64_t>(arm) + 1;
    point.key = "arm" + std::to_string(arm);
    std::vector<job::Outcome> outcomes;
    for (int pair = 0; pair < pairs; ++pair) {
      job::Outcome outcome;
      outcome.problem = "p" + std::to_string(pair % kProblems);
      outcome.trial = pair / kProblems;
      outcome.correct = solves(arm, pair % kProblems, outcome.trial);
      outcomes.push_back(std::move(outcome));
    }
    point.outcomes = outcomes;
    point.accuracy = evals::accuracy_interval(point.outcomes, seed_);
    constexpr double kError = 0.01;
    Rng rng(stream_key(seed_, 3, arm));
    const double speed = arms_[arm].speed * (1 + kError * normal(rng));
    point.speed = {{speed, speed * (1 - 1.96 * kError), speed * (1 + 1.96 * kError)}, kError, 1e9};
    return point;
  }

  // The arms that no other arm beats in both.
  std::set<size_t> true_front() const {
    std::set<size_t> front;
    for (size_t i = 0; i < arms_.size(); ++i) {
      const bool beaten = std::any_of(arms_.begin(), arms_.end(), [&](const TrueArm& other) {
        return other.skill >= arms_[i].skill && other.speed >= arms_[i].speed &&
               (other.skill > arms_[i].skill || other.speed > arms_[i].speed);
      });
      if (!beaten) { front.insert(i); }
    }
    return front;
  }

 private:
  static double normal(Rng& rng) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.uniform()));
    return radius * std::cos(2.0 * std::numbers::pi * rng.uniform());
  }

  bool solves(size_t arm, int problem, int trial) const {
    constexpr double kDifficulty = 1.0;  // standard deviations on the logit scale
    constexpr double kTaste = 0.3;
    const auto p = static_cast<uint64_t>(problem);
    Rng shared(stream_key(seed_, 1, p));
    Rng own(stream_key(seed_, 2, p, arm));
    const double logit = arms_[arm].skill + kDifficulty * normal(shared) + kTaste * normal(own);
    Rng luck(stream_key(seed_, stream_key(4, arm), p, static_cast<uint64_t>(trial)));
    return luck.uniform() < 1 / (1 + std::exp(-logit));
  }

  std::vector<TrueArm> arms_;
  uint64_t seed_;
};

// Six arms on the front and `dominated` below it: each somewhat slower and clearly less accurate than one of the six,
// in an order that says nothing.
inline std::vector<TrueArm> staircase(size_t dominated, uint64_t seed) {
  std::vector<TrueArm> arms = {{3.0, 1.0}, {2.2, 1.4}, {1.5, 1.9}, {0.8, 2.5}, {0.1, 3.2}, {-0.7, 4.0}};
  Rng rng(stream_key(seed, 17));
  for (size_t i = 0; i < dominated; ++i) {
    const TrueArm& above = arms[rng.below(6)];
    arms.push_back({above.skill - 0.3 - 1.7 * rng.uniform(), above.speed * (0.95 - 0.25 * rng.uniform())});
  }
  for (size_t i = arms.size(); i > 1; --i) { std::swap(arms[i - 1], arms[rng.below(i)]); }
  return arms;
}

struct Found {
  std::set<size_t> front;
  int64_t evaluations = 0;  // (problem, trial) pairs answered
};

inline Found found(const Archive& archive, int64_t evaluations) {
  Found result;
  result.evaluations = evaluations;
  for (size_t i : archive.front()) { result.front.insert(static_cast<size_t>(archive.points()[i].candidate - 1)); }
  return result;
}

// Every arm answers the same number of pairs.
inline Found spend_evenly(const PlantedTruth& truth, int pairs, uint64_t seed) {
  Archive archive(seed);
  for (size_t arm = 0; arm < truth.size(); ++arm) { archive.add(truth.measure(arm, pairs)); }
  return found(archive, static_cast<int64_t>(truth.size()) * pairs);
}

// Pairs that an arm has answered after a number of retests: 30, 60, 120, 240, 480.
inline int pairs_after(int rounds) { return PlantedTruth::kProblems << rounds; }

// Every arm answers each problem once; then racing says who answers more.
inline Found race(const PlantedTruth& truth, const RaceRules& rules, uint64_t seed) {
  std::vector<Point> points;
  for (size_t arm = 0; arm < truth.size(); ++arm) { points.push_back(truth.measure(arm, pairs_after(0))); }
  for (;;) {
    Archive archive(seed);
    int64_t evaluations = 0;
    for (const Point& point : points) {
      archive.add(point);
      evaluations += static_cast<int64_t>(point.outcomes.size());
    }
    const std::vector<Retest> wanted = retests(archive, rules);
    if (wanted.empty()) { return found(archive, evaluations); }
    for (const Retest& retest : wanted) {
      Point& point = points[static_cast<size_t>(retest.candidate - 1)];
      point = truth.measure(static_cast<size_t>(retest.candidate - 1), pairs_after(retest.round));
      point.rounds = retest.round;
    }
  }
}

// The usual front: by values alone.
inline std::set<size_t> naive_front(const PlantedTruth& truth, int pairs) {
  std::vector<Point> points;
  for (size_t arm = 0; arm < truth.size(); ++arm) { points.push_back(truth.measure(arm, pairs)); }
  std::set<size_t> front;
  for (size_t i = 0; i < points.size(); ++i) {
    const bool beaten = std::any_of(points.begin(), points.end(), [&](const Point& other) {
      return &other != &points[i] && other.accuracy.value >= points[i].accuracy.value &&
             other.speed.ratio.value >= points[i].speed.ratio.value;
    });
    if (!beaten) { front.insert(i); }
  }
  return front;
}

// How well a front was identified.
struct Quality {
  double precision = 0;  // share of the found that are true
  double recall = 0;     // share of the true that are found
};

inline Quality quality(const std::set<size_t>& got, const std::set<size_t>& truth) {
  double hits = 0;
  for (size_t arm : got) { hits += truth.contains(arm) ? 1.0 : 0.0; }
  return {got.empty() ? 0.0 : hits / static_cast<double>(got.size()), hits / static_cast<double>(truth.size())};
}

}  // namespace vortex::study
