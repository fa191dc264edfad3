#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <vector>

#include "base/rng.h"
#include "evals/statistics.h"
#include "job/stage.h"
#include "study/speed.h"

namespace vortex::study {

// What is true of a policy: its accuracy over all problems that the task could ask, and its speed over dense attention.
struct KnownArm {
  double accuracy = 0.9;
  double speed = 1;
};

// How a world measures.
struct WorldLaw {
  double alike = 0;          // share of answers whose luck all policies share: 0.9 is like greedy decoding
  double pair_error = 0.01;  // of one sample of speed; independent
  double process_error = 0;  // shared by all samples of one process
  double slowed = 0;         // share of processes in which dense attention alone is slower by 30 %
};

inline double normal(Rng& rng) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - rng.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * rng.uniform());
}

// An evaluator whose truth is known. Problems differ in difficulty (one standard deviation on the logit scale), which
// all policies share; each policy has its own taste for problems (0.3). Arm 0 is dense attention. The accuracies are
// marginal ones: the mean over all problems, by quadrature.
class World {
 public:
  World(std::vector<KnownArm> arms, const WorldLaw& law, uint64_t seed)
      : arms_(std::move(arms)), law_(law), seed_(seed) {
    for (const KnownArm& arm : arms_) { skills_.push_back(skill_of(arm.accuracy)); }
  }

  size_t size() const { return arms_.size(); }
  const KnownArm& arm(size_t arm) const { return arms_[arm]; }
  uint64_t seed() const { return seed_; }

  // Answers of an arm to problems [from, to) of a set; different sets have no problem in common.
  std::vector<job::Outcome> answers(size_t arm, const std::string& set, int from, int to, int trials = 1) const {
    std::vector<job::Outcome> outcomes;
    for (int problem = from; problem < to; ++problem) {
      for (int trial = 0; trial < trials; ++trial) {
        job::Outcome outcome;
        outcome.problem = set + std::to_string(problem);
        outcome.trial = trial;
        outcome.correct = solves(arm, key_of(set, problem), static_cast<uint64_t>(trial));
        outcomes.push_back(std::move(outcome));
      }
    }
    return outcomes;
  }

  // One process that measures an arm's speed in six pairs.
  SpeedRun process(size_t arm, int number) const {
    Rng rng(stream_key(seed_, 3, arm, static_cast<uint64_t>(number)));
    const bool slowed = rng.uniform() < law_.slowed;
    const double shared = law_.process_error * normal(rng);
    const double rate = 1000 * (1 + 0.02 * normal(rng));
    std::vector<double> samples;
    for (int pair = 0; pair < 6; ++pair) {
      samples.push_back(arms_[arm].speed * std::exp(shared + law_.pair_error * normal(rng)) / (slowed ? 0.7 : 1.0));
    }
    return {evals::median_interval(samples), slowed ? 0.7 * rate : rate};
  }

 private:
  static constexpr double kDifficulty = 1.0;
  static constexpr double kTaste = 0.3;

  static double marginal(double skill) {
    double sum = 0;
    double weight = 0;
    for (int i = -100; i <= 100; ++i) {
      const double z = 0.06 * i;
      const double density = std::exp(-z * z / 2);
      sum += density / (1 + std::exp(-skill - std::hypot(kDifficulty, kTaste) * z));
      weight += density;
    }
    return sum / weight;
  }

  // By a table, between whose lines accuracy is as good as linear: to within 0.00001.
  static double skill_of(double accuracy) {
    constexpr double kFrom = -15;
    constexpr double kStep = 0.02;
    static const std::vector<double> known = [] {
      std::vector<double> lines;
      for (int i = 0; i <= 1500; ++i) { lines.push_back(marginal(kFrom + kStep * i)); }
      return lines;
    }();
    if (accuracy <= known.front() || accuracy >= known.back()) { return accuracy < 0.5 ? -1e9 : 1e9; }
    const auto above = std::upper_bound(known.begin(), known.end(), accuracy);
    const double before = *(above - 1);
    const auto line = static_cast<double>(above - known.begin() - 1);
    return kFrom + kStep * (line + (accuracy - before) / (*above - before));
  }

  static uint64_t key_of(const std::string& set, int problem) {
    uint64_t key = 0;
    for (const char c : set) { key = mix64(key ^ static_cast<uint64_t>(static_cast<unsigned char>(c))); }
    return stream_key(key, static_cast<uint64_t>(problem));
  }

  bool solves(size_t arm, uint64_t problem, uint64_t trial) const {
    Rng shared(stream_key(seed_, 1, problem));
    Rng own(stream_key(seed_, 2, problem, arm));
    const double logit = skills_[arm] + kDifficulty * normal(shared) + kTaste * normal(own);
    Rng common(stream_key(seed_, 4, problem, trial));
    Rng luck(stream_key(stream_key(seed_, 5, problem, trial), arm));
    const double of_all = common.uniform();
    const double of_one = luck.uniform();
    return (luck.uniform() < law_.alike ? of_all : of_one) < 1 / (1 + std::exp(-logit));
  }

  std::vector<KnownArm> arms_;
  WorldLaw law_;
  uint64_t seed_;
  std::vector<double> skills_;
};

}  // namespace vortex::study
