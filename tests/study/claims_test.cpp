#include "study/claims.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "evals/distributions.h"

namespace vortex::study {
namespace {

std::vector<job::Outcome> answers(int right, int problems) {
  std::vector<job::Outcome> outcomes;
  for (int i = 0; i < problems; ++i) {
    job::Outcome outcome;
    outcome.problem = "held" + std::to_string(i);
    outcome.correct = i < right;
    outcomes.push_back(outcome);
  }
  return outcomes;
}

Speed about(double ratio) { return {{ratio, ratio * 0.98, ratio * 1.02}, 0.01, 10}; }

const SequenceRules kRules{.margin = 0.1, .problems = 192};

TEST(Keeping, HasThreeOutcomes) {
  EXPECT_EQ(evals::judge_keeping({0, -0.05, 0.05}, 0.1), evals::Keeping::kKept);
  EXPECT_EQ(evals::judge_keeping({-0.1, -0.15, -0.05}, 0.1), evals::Keeping::kCannotSay);
  EXPECT_EQ(evals::judge_keeping({-0.3, -0.4, -0.2}, 0.1), evals::Keeping::kLost);
}

TEST(Keeping, FewerProblemsNeverMakeTheClaimEasier) {
  double before = 0;
  for (const int problems : {24, 48, 96, 192, 384}) {
    const double chance = evals::chance_of_keeping(problems, 0.1, 0.16);
    EXPECT_GT(chance, before) << problems;
    before = chance;
  }
  EXPECT_LT(evals::chance_of_keeping(8, 0.1, 0.16), 0.15) << "eight problems support no claim";
  EXPECT_GT(before, 0.98);
}

TEST(Keeping, PlansHaveThePowerThatTheyPromise) {
  for (const double margin : {0.05, 0.1, 0.2}) {
    const auto problems = evals::problems_needed(margin, {0.16, 0.9});
    ASSERT_TRUE(problems.has_value());
    EXPECT_GE(evals::chance_of_keeping(*problems, margin, 0.16), 0.9);
    EXPECT_LE(evals::supported_margin(*problems, {0.16, 0.9}).value_or(1), margin + 1e-9);
  }
  // The thirty problems of AIME24 support a margin of more than twenty points, no less.
  EXPECT_GT(evals::supported_margin(30, {0.16, 0.9}).value_or(1), 0.2);
}

// P(won = w, lost = l) of n pairs, for all w + l up to `most`.
std::vector<std::vector<double>> won_and_lost(int n, double win, double loss, int most) {
  std::vector<std::vector<double>> chance;
  for (int won = 0; won <= std::min(n, most); ++won) {
    chance.emplace_back();
    for (int lost = 0; won + lost <= std::min(n, most); ++lost) {
      const double ways =
          std::lgamma(n + 1) - std::lgamma(won + 1) - std::lgamma(lost + 1) - std::lgamma(n - won - lost + 1);
      const double ties = (n - won - lost) * std::log1p(-win - loss);
      chance.back().push_back(std::exp(ways + won * std::log(win) + lost * std::log(loss) + ties));
    }
  }
  return chance;
}

// The chance that a policy that loses exactly the margin is kept at any look, by intervals `width` times as wide,
// counted over all that may be won and lost.
double chance_of_false_kept(int in_all, double margin, double discordance, double width) {
  constexpr double kNever = 1e-9;
  const double win = (discordance - margin) / 2;
  std::map<std::pair<int, int>, double> open = {{{0, 0}, 1.0}};  // won and lost so far
  double kept = 0;
  int before = 0;
  for (const int look : evals::looks_at(in_all)) {
    const int apart =
        static_cast<int>((look - before) * discordance + 7 * std::sqrt((look - before) * discordance)) + 2;
    const auto more = won_and_lost(look - before, win, discordance - win, apart);
    std::map<std::pair<int, int>, double> next;
    for (const auto& [state, chance] : open) {
      for (size_t won = 0; won < more.size(); ++won) {
        for (size_t lost = 0; lost < more[won].size(); ++lost) {
          const double both = chance * more[won][lost];
          if (both < kNever) { continue; }
          next[{state.first + static_cast<int>(won), state.second + static_cast<int>(lost)}] += both;
        }
      }
    }
    open.clear();
    for (const auto& [state, chance] : next) {
      const double n = look;
      const evals::Interval interval =
          evals::difference_interval(state.first / n, state.second / n, n, width * evals::look_sigmas(look, in_all));
      const evals::Keeping keeping = evals::judge_keeping(interval, margin);
      kept += keeping == evals::Keeping::kKept ? chance : 0;
      if (keeping == evals::Keeping::kCannotSay) { open[state] = chance; }
    }
    before = look;
  }
  return kept;
}

TEST(Keeping, LooksArePaidFor) {
  for (int in_all = 96; in_all <= 384; in_all += 24) {  // all that the time may settle (settled_held_out)
    for (const double discordance : {0.12, 0.24}) {
      double any = 0;
      for (int failures = 0; failures < 3; ++failures) {
        any += chance_of_false_kept(in_all, 0.1, discordance, claim_width(failures));
      }
      EXPECT_LE(any, 0.025) << in_all << " problems, " << discordance;
    }
  }
}

TEST(Keeping, LooksGrowToAllProblems) {
  EXPECT_EQ(evals::looks_at(30), std::vector<int>{30});
  EXPECT_EQ(evals::looks_at(100), (std::vector<int>{50, 100}));
  EXPECT_EQ(evals::looks_at(384), (std::vector<int>{48, 96, 144, 192, 240, 288, 336, 384}));
  EXPECT_EQ(evals::looks_at(1536).front(), 48);
  EXPECT_EQ(evals::looks_at(1536).size(), 10u);
  EXPECT_EQ(evals::looks_at(1536).back(), 1536);
  EXPECT_GT(evals::look_sigmas(48, 384), evals::look_sigmas(192, 384));
  EXPECT_EQ(evals::look_sigmas(384, 384), evals::last_look_sigmas(384));
  EXPECT_GT(evals::last_look_sigmas(384), evals::last_look_sigmas(30)) << "one look needs no payment";
}

TEST(Distributions, QuantilesOfTables) {
  EXPECT_NEAR(evals::normal_quantile(0.975), 1.959964, 1e-6);
  EXPECT_NEAR(evals::student_quantile(0.975, 4), 2.776445, 1e-5);
  EXPECT_NEAR(evals::student_quantile(0.975, 1), 12.7062, 1e-3);
  EXPECT_NEAR(evals::student_quantile(0.9975, 10), 3.581406, 1e-5);
  EXPECT_NEAR(evals::student_quantile(0.025, 30), -2.042272, 1e-5);
}

TEST(Claims, WhoeverIsNotKeptMakesItHarderForThoseAskedLater) {
  const std::vector<job::Outcome> dense = answers(170, 192);
  const std::vector<Claim> claims = judge_claims(
      {{1, answers(170, 192), about(1.1)}, {2, answers(120, 192), about(1.3)}, {3, answers(160, 192), about(1.5)}},
      dense, kRules, 1);
  ASSERT_EQ(claims.size(), 3u);
  EXPECT_TRUE(claims[0].kept);
  EXPECT_EQ(claims[1].keeping, evals::Keeping::kLost);
  EXPECT_EQ(claims[2].keeping, evals::Keeping::kCannotSay) << "one before it was not kept";
  EXPECT_TRUE(judge_claims({{3, answers(160, 192), about(1.5)}}, dense, kRules, 1).front().kept);
  EXPECT_TRUE(judge_claims({{2, answers(120, 192), about(1.3)}, {3, answers(171, 192), about(1.5)}}, dense, kRules, 1)
                  .back()
                  .kept)
      << "a fallback";
  ASSERT_NE(headline_of(claims), nullptr);
  EXPECT_EQ(headline_of(claims)->candidate, 1);
}

// What is printed must not say more than what was decided, nor be as wide as if every look had been taken.
TEST(Claims, TheIntervalBesideAClaimAgreesWithIt) {
  constexpr SequenceRules kMany{.margin = 0.1, .problems = 384};
  const Claim kept = judge_claims({{1, answers(96, 96), about(1.1)}}, answers(96, 96), kMany, 1).front();
  EXPECT_EQ(kept.keeping, evals::Keeping::kKept);
  EXPECT_LT(kept.difference.hi, evals::look_sigmas(96, 384) * evals::look_sigmas(96, 384) / 96 / 1.1);
  for (int right = 60; right <= 96; ++right) {
    const Claim claim = judge_claims({{1, answers(right, 96), about(1.1)}}, answers(92, 96), kMany, 1).front();
    EXPECT_EQ(evals::judge_keeping(claim.difference, 0.1), claim.keeping) << right;
  }
}

TEST(Claims, AHeadlineIsFasterInProcessesOfItsOwn) {
  const std::vector<job::Outcome> dense = answers(170, 192);
  EXPECT_EQ(headline_of(judge_claims({{1, answers(170, 192), about(1.01)}}, dense, kRules, 1)), nullptr);
  EXPECT_EQ(headline_of(judge_claims({{1, answers(170, 192), std::nullopt}}, dense, kRules, 1)), nullptr);
  EXPECT_NE(headline_of(judge_claims({{1, answers(170, 192), about(1.1)}}, dense, kRules, 1)), nullptr);
}

// Members of the front are asked after the sequence, in no order of speed: one that is not faster than dense attention
// must not keep a fast one from being called faster.
TEST(Claims, SpeedsAreJudgedFromTheFastestOn) {
  const std::vector<job::Outcome> dense = answers(170, 192);
  const std::vector<Claim> claims = judge_claims({{1, answers(170, 192), about(1.3), 1.3},
                                                  {2, answers(170, 192), about(1.01), 1.02},
                                                  {3, answers(170, 192), about(1.1), 1.1},
                                                  {4, answers(100, 192), about(1.0), 2}},
                                                 dense, kRules, 1);
  EXPECT_TRUE(claims[0].faster);
  EXPECT_FALSE(claims[1].faster);
  EXPECT_TRUE(claims[2].faster);
  EXPECT_FALSE(claims[3].faster) << "not kept";
  EXPECT_EQ(headline_of(claims)->candidate, 1);
}

TEST(Claims, ADeadBaselineLetsNobodyKeepItsAccuracyUnseen) {
  // All wrong on both sides: no difference, and so "kept"; the baseline is judged before (baseline_test).
  const std::vector<Claim> claims = judge_claims({{1, answers(0, 48), about(2)}}, answers(0, 48), kRules, 1);
  EXPECT_EQ(claims[0].dense_accuracy.value, 0);
}

TEST(Claims, OnlySharedProblemsCount) {
  const std::vector<Claim> claims = judge_claims({{1, answers(48, 48), about(2)}}, answers(0, 24), kRules, 1);
  EXPECT_EQ(claims[0].problems, 24);
  EXPECT_EQ(claims[0].accuracy.value, 1);
}

Point point(int64_t candidate, int right, double speed) {
  Point made;
  made.candidate = candidate;
  made.key = std::to_string(candidate);
  made.reference = candidate == 0;
  made.outcomes = answers(right, 48);
  made.accuracy = evals::accuracy_interval(made.outcomes, 1);
  made.speed = candidate == 0 ? exact_speed(1) : about(speed);
  return made;
}

TEST(Sequence, RunsFromTheMostAccurateToTheFastestAndLeavesOutTheHopeless) {
  Archive archive(1);
  archive.add(point(0, 46, 1));
  archive.add(point(1, 46, 1.2));
  archive.add(point(2, 44, 1.6));
  archive.add(point(3, 10, 4.0));
  archive.add(point(4, 44, 1.3));  // beaten by 2
  archive.add(point(5, 47, 0.9));  // slower than dense attention
  const std::vector<int64_t> sequence = best_sequence(archive, kRules);
  ASSERT_FALSE(sequence.empty());
  for (const int64_t candidate : sequence) { EXPECT_TRUE(candidate == 1 || candidate == 2) << candidate; }
  EXPECT_EQ(fallback_of(archive, kRules, sequence), 4);
  EXPECT_EQ(fallback_of(archive, kRules, {1, 2, 4}), std::nullopt);
  EXPECT_EQ(asked_sequence(archive, kRules, {3, 4, 5, 1, 0}), (std::vector<int64_t>{4, 1})) << "the hopeless left out";
}

// Luck in the race does not make a finalist of one whom right answers surprise, where there are others.
TEST(Sequence, WhoIsSurprisedByRightAnswersIsAskedOnlyWhereNobodyElsePromisesAGain) {
  SequenceRules rules = kRules;
  rules.least_promise = promise_of_kl(0.02);
  Archive archive(1);
  archive.add(point(0, 46, 1));
  Point lucky = point(1, 46, 2.0);
  lucky.promise = promise_of_kl(0.1);
  archive.add(lucky);
  Point near = point(2, 45, 1.3);
  near.promise = promise_of_kl(0.005);
  archive.add(near);
  EXPECT_EQ(best_sequence(archive, rules), std::vector<int64_t>{2});
  EXPECT_EQ(fallback_of(archive, rules, {2}), 1);
  rules.least_promise = 0;
  EXPECT_EQ(best_sequence(archive, rules).back(), 1);
}

// With what a finalist answered is asked on until its matter is clear.
TEST(Sequence, AFinalistIsAskedUntilItIsClearWhatToSay) {
  constexpr SequenceRules kMany{.margin = 0.1, .problems = 384};
  const auto decided = [&](int right, int problems, int failures) {
    SequenceRules rules = kMany;
    rules.failures = failures;
    return is_decided({1, answers(right, problems), std::nullopt}, answers(problems * 9 / 10, problems), rules, 1);
  };
  EXPECT_FALSE(decided(43, 48, 0));
  EXPECT_TRUE(decided(129, 144, 0)) << "kept";
  EXPECT_FALSE(decided(118, 144, 0)) << "cannot say";
  EXPECT_TRUE(decided(100, 144, 0)) << "hopeless";
  EXPECT_TRUE(decided(334, 384, 1));
}

// Rounds may be asked at once: those behind the one that decides change nothing.
TEST(Sequence, AFinalistIsJudgedByTheRoundsUpToTheOneThatDecides) {
  const std::vector<job::Outcome> dense = answers(190, 192);
  Finalist lost{1, answers(12, 192), std::nullopt};  // none right behind the first dozen
  lost.looks = {48, 96, 144, 192};
  const Finalist seen = until_decided(lost, dense, kRules, 1);
  EXPECT_EQ(seen.outcomes.size(), 48U);
  EXPECT_EQ(seen.looks, (std::vector<size_t>{48}));
  Finalist alone = lost;
  alone.outcomes.resize(48);
  alone.looks = {48};
  const Claim one = judge_claims({until_decided(alone, dense, kRules, 1)}, dense, kRules, 1).front();
  const Claim all = judge_claims({seen}, dense, kRules, 1).front();
  EXPECT_EQ(one.keeping, evals::Keeping::kLost);
  EXPECT_EQ(all.keeping, one.keeping);
  EXPECT_EQ(all.difference.value, one.difference.value);
  EXPECT_EQ(all.problems, 48);
  Finalist open{2, answers(43, 48), std::nullopt};
  open.looks = {48};
  EXPECT_EQ(until_decided(open, answers(43, 48), {.margin = 0.1, .problems = 384}, 1).outcomes.size(), 48U);
}

// Five hardly surprised that lose hardly anything, five surprised that lose half; then one of each with other luck.
TEST(Sequence, ExpectedDifferencesAreShrunkTowardsWhatTheEquallySurprisedLose) {
  const auto surprised = [](Point made, double kl) {
    made.promise = promise_of_kl(kl);
    return made;
  };
  const auto expected_of = [](const Archive& archive, int64_t candidate) {
    return expected_differences(archive, {candidate}).front().difference.value;
  };
  Archive told(1);
  Archive untold(1);
  for (Archive* archive : {&told, &untold}) {
    archive->add(point(0, 40, 1));
    const bool tell = archive == &told;
    for (int64_t i = 1; i <= 5; ++i) {
      archive->add(surprised(point(i, 38 + static_cast<int>(i % 3), 1.2), tell ? 0.01 : 1e9));
      archive->add(surprised(point(i + 10, 19 + static_cast<int>(i % 3), 1.2), tell ? 0.6 : 1e9));
    }
    archive->add(surprised(point(8, 34, 1.2), tell ? 0.01 : 1e9));  // bad luck
    archive->add(surprised(point(18, 26, 1.2), tell ? 0.6 : 1e9));  // good luck
  }
  EXPECT_GT(expected_of(told, 8), -6.0 / 48) << "better than it looks";
  EXPECT_LT(expected_of(told, 18), -14.0 / 48) << "worse than it looks";
  EXPECT_LT(expected_of(untold, 8), -6.0 / 48) << "where nobody was asked, towards the mean of all";
  EXPECT_GT(expected_of(told, 1), expected_of(untold, 1));
}

// No surprise makes answers better: where all of the surprised were lucky, their luck is drawn towards no gain.
TEST(Sequence, SurpriseIsNoGain) {
  Archive archive(1);
  archive.add(point(0, 24, 1));
  for (int64_t i = 1; i <= 4; ++i) {
    Point lucky = point(i, 26, 1.2);
    lucky.promise = promise_of_kl(0.1 * static_cast<double>(i));
    archive.add(lucky);
  }
  for (const Expected& one : expected_differences(archive, {1, 2, 3, 4})) { EXPECT_LT(one.difference.value, 1.5 / 48); }
}

TEST(Sequence, BeginsWithASureGainThoughItIsSmall) {
  Archive archive(1);
  archive.add(point(0, 46, 1));
  for (int64_t i = 1; i <= 6; ++i) {
    Point bold = point(i, 42 - static_cast<int>(i % 2), 1.4 + 0.01 * static_cast<double>(i));
    bold.promise = promise_of_kl(0.09);
    archive.add(bold);
  }
  Point sure = point(9, 46, 1.05);
  sure.promise = promise_of_kl(0.002);
  archive.add(sure);
  const std::vector<int64_t> sequence = best_sequence(archive, {.margin = 0.1, .problems = 96});
  ASSERT_GE(sequence.size(), 2U);
  EXPECT_EQ(sequence.front(), 9);
}

TEST(Sequence, ExpectedDifferencesAreShrunkTowardsAllOthers) {
  Archive archive(1);
  archive.add(point(0, 40, 1));
  for (int64_t i = 1; i <= 8; ++i) { archive.add(point(i, 30 + static_cast<int>(i), 1.2)); }
  const std::vector<Expected> expected = expected_differences(archive, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  ASSERT_EQ(expected.size(), 8u);
  EXPECT_GT(expected.front().difference.value, -9.0 / 48);
  EXPECT_LT(expected.back().difference.value, 0);
  EXPECT_LE(expected.front().difference.value, expected.back().difference.value);
  EXPECT_GT(expected.front().error, 0);
}

}  // namespace
}  // namespace vortex::study
