// Do the claims hold, and do the intervals cover? In worlds whose truth is known and that nobody has seen: their seeds
// come from the date. scripts/bench_selection.sh is the large version, with all numbers.

#include "tests/study/calibration.h"

#include <gtest/gtest.h>

#include "evals/beta_binomial.h"

namespace vortex::study {
namespace {

class Calibration : public testing::Test {
 protected:
  void SetUp() override { RecordProperty("seed", std::to_string(seed_)); }
  void TearDown() override {
    if (HasFailure()) { std::printf("VORTEX_CALIBRATION_SEED=%llu\n", static_cast<unsigned long long>(seed_)); }
  }
  uint64_t seed_ = days_seed();
};

TEST_F(Calibration, APolicyThatLosesTheMarginIsHardlyEverCalledKept) {
  for (const double alike : {0.0, 0.9}) {
    const Tally tally = search_worlds(Law::kAtMargin, 10, {.alike = alike}, 60, seed_);
    EXPECT_TRUE(is_at_most(tally.worlds_falsely_kept, tally.worlds, 0.025)) << tally.worlds_falsely_kept;
  }
}

TEST_F(Calibration, HeadlinesLoseNoMoreThanTheMargin) {
  for (const Law law : {Law::kBestOf, Law::kTies, Law::kSmall}) {
    const Tally tally = search_worlds(law, 10, {.alike = 0.5}, 40, seed_ + 1000);
    EXPECT_TRUE(is_at_most(tally.headlines_that_lose, tally.worlds, 0.025)) << static_cast<int>(law);
  }
}

TEST_F(Calibration, CopiesOfDenseAttentionAreNotAnnouncedAsFaster) {
  for (const double shared : {0.0, 0.03, 0.1}) {
    const Tally tally = search_worlds(Law::kCopies, 20, {.alike = 0.9, .process_error = shared}, 40, seed_ + 2000);
    EXPECT_TRUE(is_at_most(tally.not_faster, tally.worlds, 0.03)) << shared << ": " << tally.not_faster;
  }
}

TEST_F(Calibration, ItStillFinds) {
  const Tally tally = search_worlds(Law::kPlanted, 20, {.alike = 0.9}, 40, seed_ + 3000);
  EXPECT_TRUE(is_at_least(tally.found, tally.worlds, 0.8)) << tally.found;
}

TEST_F(Calibration, IntervalsOfSpeedCoverWhateverAProcessShares) {
  for (const double shared : {0.0, 0.01, 0.03, 0.1}) {
    constexpr int kDraws = 400;
    int covered = 0;
    for (int draw = 0; draw < kDraws; ++draw) {
      const World world(std::vector<KnownArm>(6, KnownArm{0.9, 1.3}), {.process_error = shared},
                        seed_ + 4000 + static_cast<uint64_t>(draw));
      std::vector<std::vector<SpeedRun>> all;
      for (size_t arm = 0; arm < world.size(); ++arm) {
        all.emplace_back();
        for (int run = 0; run < (arm < 4 ? 3 : 1); ++run) { all.back().push_back(world.process(arm, run)); }
      }
      // One of three processes and one of a single one.
      const size_t asked = draw % 2 == 0 ? 0 : 5;
      const Speed speed = speed_of_runs(all[asked], speed_spread(all));
      covered += speed.ratio.lo <= 1.3 && 1.3 <= speed.ratio.hi ? 1 : 0;
    }
    EXPECT_TRUE(is_at_least(covered, kDraws, 0.94)) << shared << ": " << covered;
  }
}

TEST_F(Calibration, IntervalsOfAccuracyCoverWhereTrialsAreAlike) {
  constexpr int kDraws = 200;
  for (const double repeated : {0.0, 0.9}) {
    int covered = 0;
    for (int draw = 0; draw < kDraws; ++draw) {
      const World world({{0.9, 1}}, {}, seed_ + 5000 + static_cast<uint64_t>(draw));
      std::vector<job::Outcome> outcomes = world.answers(0, "p", 0, 16, 16);
      Rng rng(stream_key(seed_, 9, static_cast<uint64_t>(draw)));
      for (size_t i = 0; i < outcomes.size(); ++i) {
        if (rng.uniform() < repeated) { outcomes[i].correct = outcomes[i - i % 16].correct; }
      }
      const evals::Interval interval = evals::accuracy_interval(outcomes, 1);
      covered += interval.lo <= 0.9 && 0.9 <= interval.hi ? 1 : 0;
    }
    EXPECT_TRUE(is_at_least(covered, kDraws, 0.93)) << repeated << ": " << covered;
  }
}

TEST_F(Calibration, ShrunkTheBestOfManyLooksNoBetterThanItIs) {
  constexpr int kWorlds = 200;
  for (const Law law : {Law::kBestOf, Law::kSmall, Law::kCopies}) {
    const BestOfMany best = best_of_many(law, 50, {}, kWorlds, seed_ + 7000);
    EXPECT_GT(best.raw, 0.05) << static_cast<int>(law);
    // Means of so many worlds are known to within half a point.
    EXPECT_LT(std::abs(best.shrunk), 0.045) << static_cast<int>(law);
    EXPECT_TRUE(is_at_least(best.covered, kWorlds, 0.93)) << static_cast<int>(law) << ": " << best.covered;
  }
}

TEST_F(Calibration, OneLawInBothArmsIsRarelyToldApart) {
  constexpr int kWorlds = 60;
  const int told = one_law(10, kWorlds, seed_ + 6000).told_apart;
  EXPECT_TRUE(is_at_most(told, kWorlds, 0.05)) << told;
}

}  // namespace
}  // namespace vortex::study
