#include "study/racing.h"

#include <gtest/gtest.h>

#include "tests/study/planted.h"

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

// The large version, with all numbers, is scripts/bench_selection.sh.
TEST(Racing, FindsTheFrontBetterThanTwiceTheEvaluationsSpentEvenly) {
  constexpr int kWorlds = 12;
  Quality raced;
  Quality even;
  int64_t race_evaluations = 0;
  int64_t even_evaluations = 0;
  for (uint64_t seed = 1; seed <= kWorlds; ++seed) {
    const PlantedTruth truth(staircase(18, seed), seed);
    const Found race_found = race(truth, {4}, seed);
    const int pairs = static_cast<int>(2 * race_found.evaluations / static_cast<int64_t>(truth.size()));
    const Found even_found = spend_evenly(truth, std::min(pairs, kAllPairs), seed);
    const Quality of_race = quality(race_found.front, truth.true_front());
    const Quality of_even = quality(even_found.front, truth.true_front());
    raced.precision += of_race.precision / kWorlds;
    raced.recall += of_race.recall / kWorlds;
    even.precision += of_even.precision / kWorlds;
    even.recall += of_even.recall / kWorlds;
    race_evaluations += race_found.evaluations;
    even_evaluations += even_found.evaluations;
  }
  EXPECT_GT(static_cast<double>(even_evaluations), 1.9 * static_cast<double>(race_evaluations));
  EXPECT_GE(raced.precision, even.precision);
  EXPECT_GE(raced.recall, even.recall - 1e-9);
  EXPECT_GT(raced.precision, 0.95);
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
