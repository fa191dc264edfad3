#include "evals/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/rng.h"

namespace vortex::evals {
namespace {

job::Outcome outcome(int problem, int trial, bool correct) {
  job::Outcome made;
  made.problem = "p" + std::to_string(problem);
  made.trial = trial;
  made.correct = correct;
  return made;
}

std::vector<job::Outcome> outcomes(const std::string& marks) {
  std::vector<job::Outcome> made;
  for (size_t i = 0; i < marks.size(); ++i) { made.push_back(outcome(static_cast<int>(i), 0, marks[i] == '1')); }
  return made;
}

bool covers(const Interval& interval, double truth) { return interval.lo <= truth && truth <= interval.hi; }

TEST(MidP, HandWorkedValues) {
  // 5 of 10: at the lower end six or more right, and half of five right, come to 0.024 (summed by hand).
  EXPECT_NEAR(mid_p_interval(0.5, 10).lo, 0.209941, 1e-6);
  EXPECT_NEAR(mid_p_interval(0.5, 10).hi, 0.790059, 1e-6);
  // n of n: half of p^n is 0.024.
  EXPECT_NEAR(mid_p_interval(1, 8).lo, std::pow(0.048, 1.0 / 8), 1e-6);
  EXPECT_EQ(mid_p_interval(1, 8).hi, 1.0);
  EXPECT_EQ(mid_p_interval(0, 8).lo, 0.0);
}

// Against counting all subsets of k trials.
TEST(PassAtK, IsTheShareOfSubsetsWithARightTrial) {
  for (int right = 0; right <= 6; ++right) {
    std::vector<job::Outcome> made;
    for (int trial = 0; trial < 6; ++trial) { made.push_back(outcome(0, trial, trial < right)); }
    for (int k = 1; k <= 6; ++k) {
      int subsets = 0;
      int with_right = 0;
      for (unsigned mask = 0; mask < 64; ++mask) {
        if (__builtin_popcount(mask) != k) { continue; }
        ++subsets;
        with_right += (mask & ((1U << right) - 1)) != 0 ? 1 : 0;
      }
      EXPECT_NEAR(pass_at_k(made, k, 1).value, static_cast<double>(with_right) / subsets, 1e-12) << right << " " << k;
    }
    EXPECT_EQ(pass_at_k(made, 7, 1).hi, 1.0) << "too few trials: nothing is known";
    EXPECT_EQ(pass_at_k(made, 0, 1).lo, 0.0);
  }
  const Interval two =
      pass_at_k({outcome(0, 0, true), outcome(0, 1, false), outcome(1, 0, false), outcome(1, 1, false)}, 2, 1);
  EXPECT_EQ(two.value, 0.5);
  EXPECT_LE(two.lo, two.value);
  EXPECT_GE(two.hi, two.value);
}

TEST(AccuracyInterval, NeverEmptyWhenAllOutcomesAreAlike) {
  const Interval all = accuracy_interval(outcomes("11111111"), 1);
  EXPECT_EQ(all.value, 1.0);
  EXPECT_NEAR(all.lo, std::pow(0.048, 1.0 / 8), 1e-6);
  EXPECT_EQ(all.hi, 1.0);
  const Interval none = accuracy_interval(outcomes("0000"), 1);
  EXPECT_EQ(none.lo, 0.0);
  EXPECT_NEAR(none.hi, 1 - std::pow(0.048, 1.0 / 4), 1e-6);
  const Interval nothing = accuracy_interval({}, 1);
  EXPECT_EQ(nothing.lo, 0.0);
  EXPECT_EQ(nothing.hi, 1.0);
}

TEST(AccuracyInterval, TrialsOfOneProblemAreNotIndependent) {
  // Eight problems, four trials each, all trials of a problem alike: no better known than from one trial each.
  std::vector<job::Outcome> repeated;
  for (int problem = 0; problem < 8; ++problem) {
    for (int trial = 0; trial < 4; ++trial) { repeated.push_back(outcome(problem, trial, problem % 2 == 0)); }
  }
  const Interval once = accuracy_interval(outcomes("10101010"), 3);
  const Interval four = accuracy_interval(repeated, 3);
  EXPECT_EQ(once.value, four.value);
  EXPECT_GE(once.lo, four.lo);
  EXPECT_LE(once.hi, four.hi);
  // The same number right, but every problem half right: four trials a problem do tell more.
  std::vector<job::Outcome> mixed;
  for (int problem = 0; problem < 8; ++problem) {
    for (int trial = 0; trial < 4; ++trial) { mixed.push_back(outcome(problem, trial, trial % 2 == 0)); }
  }
  EXPECT_LT(accuracy_interval(mixed, 3).hi, four.hi);
}

TEST(AccuracyInterval, IsDeterministicInTheSeed) {
  const std::vector<job::Outcome> some = outcomes("110100110111010101101110");
  EXPECT_EQ(accuracy_interval(some, 5).lo, accuracy_interval(some, 5).lo);
  EXPECT_EQ(accuracy_interval(some, 5).hi, accuracy_interval(some, 5).hi);
}

TEST(PairedDifference, HandWorkedValues) {
  // All tied: the score of d < 0 is sqrt(n d / (d - 1)), so the bounds are z^2 / (n + z^2).
  const std::vector<job::Outcome> all(outcomes(std::string(32, '1')));
  const Interval tied = paired_difference(all, all, 1);
  EXPECT_EQ(tied.value, 0.0);
  EXPECT_NEAR(tied.hi, 3.841459 / 35.841459, 1e-6);
  EXPECT_NEAR(tied.lo, -tied.hi, 1e-12);
  // Eight lost of eight: the score of d is -sqrt(n (1 + d) / (1 - d)), so that d reaches (z^2 - n) / (z^2 + n).
  const Interval lost = paired_difference(outcomes("00000000"), outcomes("11111111"), 1);
  EXPECT_EQ(lost.value, -1.0);
  EXPECT_EQ(lost.lo, -1.0);
  EXPECT_NEAR(lost.hi, (3.841459 - 8) / (3.841459 + 8), 1e-6);
}

TEST(PairedDifference, UsesCommonPairsOnly) {
  std::vector<job::Outcome> a = outcomes("1100");
  a.push_back(outcome(0, 1, true));  // b has no trial 1
  std::vector<job::Outcome> b = outcomes("0101");
  b.push_back(outcome(9, 0, true));  // a has no problem 9
  EXPECT_EQ(paired_difference(a, b, 1).value, (1.0 + 0.0 + 0.0 - 1.0) / 4);
  const Interval nothing = paired_difference(a, std::vector{outcome(77, 0, true)}, 1);
  EXPECT_EQ(nothing.lo, -1.0);
  EXPECT_EQ(nothing.hi, 1.0);
}

TEST(PairedDifference, IsAntisymmetricInItsValue) {
  const auto a = outcomes("1101011101");
  const auto b = outcomes("1001110001");
  EXPECT_EQ(paired_difference(a, b, 1).value, -paired_difference(b, a, 1).value);
  EXPECT_EQ(paired_difference(a, b, 1).value, 0.2);
}

TEST(MedianInterval, SmallSamples) {
  const Interval three = median_interval({3.0, 1.0, 2.0});
  EXPECT_EQ(three.value, 2.0);
  EXPECT_EQ(three.lo, 1.0);
  EXPECT_EQ(three.hi, 3.0);
  EXPECT_EQ(median_interval({4.0, 1.0, 2.0, 3.0}).value, 2.5);
  EXPECT_EQ(median_interval({7.0}).hi, 7.0);
  EXPECT_EQ(median_interval({}).value, 0.0);
  // Six samples: missed with probability 2/64; nine: from the second to the last but one, 2 (1 + 9)/512.
  EXPECT_EQ(median_interval({6, 5, 4, 3, 2, 1}).lo, 1.0);
  EXPECT_EQ(median_interval({9, 8, 7, 6, 5, 4, 3, 2, 1}).lo, 2.0);
  EXPECT_EQ(median_interval({9, 8, 7, 6, 5, 4, 3, 2, 1}).hi, 8.0);
  // Many: about 1.96 sqrt(n) / 2 places to each side of the middle.
  std::vector<double> many(5000);
  for (size_t i = 0; i < many.size(); ++i) { many[i] = static_cast<double>(i); }
  EXPECT_NEAR(median_interval(many).lo, 2499.5 - 69.3, 1.5);
  EXPECT_NEAR(median_interval(many).hi, 2499.5 + 69.3, 1.5);
  // One outlier does not move it far.
  EXPECT_EQ(median_interval({1, 1.1, 1.2, 1.1, 1, 1.2, 1.1, 50}).value, 1.1);
}

// Share of simulated experiments whose interval holds the truth.
template <typename Experiment>
double coverage(int experiments, Experiment experiment) {
  int held = 0;
  for (int i = 0; i < experiments; ++i) {
    Rng rng(stream_key(2026, static_cast<uint64_t>(i)));
    held += experiment(rng, static_cast<uint64_t>(i)) ? 1 : 0;
  }
  return static_cast<double>(held) / experiments;
}

TEST(Coverage, AccuracyOfIndependentProblems) {
  for (const int problems : {8, 16, 32}) {
    for (const double truth : {0.5, 0.8, 0.95}) {
      const double held = coverage(300, [&](Rng& rng, uint64_t seed) {
        std::vector<job::Outcome> drawn;
        for (int i = 0; i < problems; ++i) { drawn.push_back(outcome(i, 0, rng.uniform() < truth)); }
        return covers(accuracy_interval(drawn, seed), truth);
      });
      EXPECT_GE(held, 0.93) << problems << " problems, accuracy " << truth;
    }
  }
}

TEST(Coverage, AccuracyOfProblemsThatDifferInDifficulty) {
  for (const int problems : {8, 24}) {
    // Half the problems are nearly always solved, half seldom: 4 trials each.
    const double held = coverage(300, [&](Rng& rng, uint64_t seed) {
      std::vector<job::Outcome> drawn;
      for (int i = 0; i < problems; ++i) {
        const double difficulty = rng.uniform() < 0.5 ? 0.95 : 0.25;
        for (int trial = 0; trial < 4; ++trial) { drawn.push_back(outcome(i, trial, rng.uniform() < difficulty)); }
      }
      return covers(accuracy_interval(drawn, seed), 0.6);
    });
    EXPECT_GE(held, 0.92) << problems << " problems";
  }
}

TEST(Coverage, PairedDifference) {
  for (const int problems : {8, 16, 32}) {
    // a solves 70 % of what b solves and 10 % of what b does not: the true difference is 0.8 * 0.7 + 0.2 * 0.1 - 0.8.
    const double held = coverage(300, [&](Rng& rng, uint64_t seed) {
      std::vector<job::Outcome> a;
      std::vector<job::Outcome> b;
      for (int i = 0; i < problems; ++i) {
        const bool solved = rng.uniform() < 0.8;
        b.push_back(outcome(i, 0, solved));
        a.push_back(outcome(i, 0, rng.uniform() < (solved ? 0.7 : 0.1)));
      }
      return covers(paired_difference(a, b, seed), -0.22);
    });
    EXPECT_GE(held, 0.93) << problems << " problems";
  }
}

TEST(Coverage, EqualArmsAreSeldomTakenForDifferent) {
  const double held = coverage(300, [&](Rng& rng, uint64_t seed) {
    std::vector<job::Outcome> a;
    std::vector<job::Outcome> b;
    for (int i = 0; i < 16; ++i) {
      const bool same = rng.uniform() < 0.9;
      const bool first = rng.uniform() < 0.7;
      a.push_back(outcome(i, 0, first));
      b.push_back(outcome(i, 0, same ? first : rng.uniform() < 0.7));
    }
    return covers(paired_difference(a, b, seed), 0.0);
  });
  EXPECT_GE(held, 0.94);
}

TEST(Coverage, Median) {
  for (const int samples : {7, 15, 40}) {
    const double held = coverage(300, [&](Rng& rng, uint64_t) {
      std::vector<double> drawn;
      for (int i = 0; i < samples; ++i) {
        drawn.push_back(-std::log(1 - rng.uniform()));  // exponential
      }
      return covers(median_interval(drawn), std::log(2.0));
    });
    EXPECT_GE(held, 0.94) << samples << " samples";
  }
}

}  // namespace
}  // namespace vortex::evals
