#include "study/racing.h"

#include <gtest/gtest.h>

#include "tests/study/calibration.h"

namespace vortex::study {
namespace {

constexpr int kAllPairs = PlantedTruth::kProblems * PlantedTruth::kTrials;

TEST(PlantedTruth, TenEqualPoliciesGiveAFrontOfOneWhereANaiveFrontKeepsAboutThree) {
  constexpr int kWorlds = 100;
  int fronts_of_one = 0;
  double naive = 0;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const PlantedTruth truth(std::vector<TrueArm>(10, TrueArm{1.0, 2.0}), seed);
    fronts_of_one += spend_evenly(truth, kAllPairs, seed).front.size() == 1 ? 1 : 0;
    naive += static_cast<double>(naive_front(truth, kAllPairs).size()) / kWorlds;
  }
  EXPECT_GE(fronts_of_one, 95);
  EXPECT_GT(naive, 2);
  EXPECT_LT(naive, 4);
}

TEST(PlantedTruth, RacingEqualPoliciesGivesAFrontOfOneToo) {
  int fronts_of_one = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const PlantedTruth truth(std::vector<TrueArm>(10, TrueArm{1.0, 2.0}), seed);
    fronts_of_one += race(truth, {4}, seed).front.size() == 1 ? 1 : 0;
  }
  EXPECT_GE(fronts_of_one, 38);
}

// How well the front of many searches was found, and for how many answers.
struct Race {
  double f1 = 0;
  double answers = 0;
};

Race searched(const LoopRules& rules) {
  constexpr int kWorlds = 60;
  Race race;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    std::set<size_t> truth;
    const World world = stairs(seed, truth);
    const LoopEnd end = Loop(world, rules).run();
    const Quality found = quality({end.front.begin(), end.front.end()}, truth);
    race.f1 += 2 * found.precision * found.recall / std::max(1e-9, found.precision + found.recall) / kWorlds;
    race.answers += static_cast<double>(end.answers()) / kWorlds;
  }
  return race;
}

// At the product's defaults. The large version, with all numbers, is scripts/bench_selection.sh.
TEST(Racing, FindsTheFrontAsWellAsNearlyTwiceTheAnswersSpentEvenly) {
  LoopRules rules;
  rules.finals = false;
  rules.prune = false;
  const Race raced = searched(rules);
  rules.retest_share = 0;
  rules.problems = 92;
  const Race even = searched(rules);
  EXPECT_GT(even.answers, 1.75 * raced.answers);
  EXPECT_GE(raced.f1, even.f1);
}

// Who should be told apart the soonest is asked first.
TEST(Racing, AsksFirstWhereTheFewestProblemsShouldTell) {
  const auto point = [](int64_t candidate, int right, double speed) {
    Point made;
    made.candidate = candidate;
    made.key = std::to_string(candidate);
    std::vector<job::Outcome> outcomes;
    for (int i = 0; i < 48; ++i) {
      job::Outcome outcome;
      outcome.problem = std::to_string(i);
      outcome.correct = i < right;
      outcomes.push_back(outcome);
    }
    made.outcomes = outcomes;
    made.accuracy = evals::accuracy_interval(made.outcomes, 1);
    made.speed = {{speed, 0.99 * speed, 1.01 * speed}, 0.005, 100};
    return made;
  };
  Archive archive(1);
  archive.add(point(1, 30, 2));
  archive.add(point(2, 32, 1.5));
  archive.add(point(3, 34, 1.2));
  const std::vector<Retest> wanted = retests(archive, RaceRules{});
  ASSERT_EQ(wanted.size(), 3u);
  EXPECT_EQ(wanted[0].candidate, 1) << "four apart, as is 3";
  EXPECT_EQ(wanted[1].candidate, 3);
  EXPECT_EQ(wanted[2].candidate, 2);
}

TEST(Racing, AsksBothSidesOfAComparisonForTheSameRounds) {
  const PlantedTruth truth({{1.0, 2.0}, {1.3, 1.98}}, 3);
  Archive archive(1);
  archive.add(truth.measure(0, 30));
  archive.add(truth.measure(1, 30));
  const std::vector<Retest> wanted = retests(archive, RaceRules{3, 0.0, 1.0});
  ASSERT_EQ(wanted.size(), 2u);
  EXPECT_EQ(wanted[0].round, 1);
  EXPECT_EQ(wanted[1].round, 1);
  // A member that has answered the round already waits for the other one.
  Archive later(1);
  Point ahead = truth.measure(0, 60);
  ahead.rounds = 1;
  later.add(ahead);
  later.add(truth.measure(1, 30));
  const std::vector<Retest> rest = retests(later, RaceRules{3, 0.0, 1.0});
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].candidate, 2);
}

TEST(Racing, TheReferenceIsNotDoubted) {
  const PlantedTruth truth({{1.9, 1.0}, {1.2, 2.0}}, 3);
  Archive archive(1);
  Point slower = truth.measure(0, 30);
  archive.add(slower);
  archive.add(truth.measure(1, 30));
  ASSERT_EQ(archive.front().size(), 2u);
  EXPECT_EQ(retests(archive, RaceRules{3, 0.0, 1.0}).size(), 2u);
  Archive beside_dense(1);
  slower.reference = true;
  beside_dense.add(slower);
  beside_dense.add(truth.measure(1, 30));
  EXPECT_TRUE(retests(beside_dense, RaceRules{3, 0.0, 1.0}).empty());
}

TEST(Racing, StopsWhenTheOutcomeIsClearOrTheRoundsAreUsedUp) {
  const PlantedTruth clear({{3.0, 2.0}, {-2.0, 1.0}}, 3);
  Archive archive(1);
  archive.add(clear.measure(0, 30));
  archive.add(clear.measure(1, 30));
  EXPECT_TRUE(retests(archive, RaceRules{3, 0.0, 1.0}).empty());
  const PlantedTruth equal({{1.0, 2.0}, {1.0, 2.0}}, 3);
  Archive used_up(1);
  for (size_t arm = 0; arm < 2; ++arm) {
    Point point = equal.measure(arm, 240);
    point.rounds = 3;
    used_up.add(point);
  }
  EXPECT_TRUE(retests(used_up, RaceRules{3, 0.0, 1.0}).empty());
  EXPECT_TRUE(retests(archive, RaceRules{0, 0.0, 1.0}).empty());
}

// What an archive and a race remember spares looking again, and changes nothing: arms come one by one, and what is
// known of arms that came before grows meanwhile, as in a search.
TEST(Racing, WhatIsRememberedChangesNothing) {
  size_t wanted = 0;
  size_t members = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const PlantedTruth truth(staircase(60, seed), seed);
    const RaceRules rules{3, 0.02, 0.5};
    Archive grown(seed);
    Racing racing(rules);
    std::vector<Point> points;
    Rng rng(stream_key(seed, 5));
    for (size_t arm = 0; arm < truth.size(); ++arm) {
      points.push_back(truth.measure(arm, PlantedTruth::kProblems));
      points.back().reference = arm == 0;
      grown.add(points.back());
      std::vector<Point> known_better;
      for (uint64_t i = rng.below(3); i > 0; --i) {
        Point& point = points[rng.below(points.size())];
        const int rounds = std::min(3, point.rounds + 1);
        const bool reference = point.reference;
        point = truth.measure(static_cast<size_t>(point.candidate - 1), PlantedTruth::kProblems << rounds);
        point.rounds = rounds;
        point.reference = reference;
        known_better.push_back(point);
      }
      grown.replace(known_better);
      Archive anew(seed);
      for (const Point& point : points) { anew.add(point); }
      ASSERT_EQ(grown.front(), anew.front());
      members += anew.front().size();
      const std::vector<Retest> expected = retests(anew, rules);
      ASSERT_EQ(racing.wanted(grown), expected);
      wanted += expected.size();
      ASSERT_EQ(best_sequence(grown, {}), best_sequence(anew, {}));
    }
  }
  EXPECT_GT(wanted, 50u);
  EXPECT_GT(members, 500u);
}

}  // namespace
}  // namespace vortex::study
