#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "study/claims.h"
#include "study/hypervolume.h"
#include "tests/study/loop.h"
#include "tests/study/planted.h"

namespace vortex::study {

// Worlds that are drawn, their law named: how losses (shares) and speeds of the candidates are distributed.
enum class Law {
  kBestOf,    // losses of 0 to 30 points; speeds about 1.25
  kSmall,     // losses of 1 to 3 points; speeds of 1.05 to 1.5
  kAtMargin,  // all lose exactly the margin, 1.3 times as fast
  kTies,      // dense attention is always right; faster the worse they are, up to 10 points
  kCopies,    // all are dense attention
  kPlanted,   // as kBestOf, and one in the middle that loses nothing and is 1.2 to 1.5 times as fast
};

inline World draw_world(Law law, int candidates, const WorldLaw& measuring, uint64_t seed, double margin = 0.1) {
  Rng rng(stream_key(seed, 77));
  const auto between = [&](double lo, double hi) { return lo + (hi - lo) * rng.uniform(); };
  std::vector<KnownArm> arms = {{law == Law::kTies ? 1.0 : 0.9, 1}};
  const double dense = arms[0].accuracy;
  for (int i = 0; i < candidates; ++i) {
    const bool planted = law == Law::kPlanted && i == candidates / 2;
    if (law == Law::kSmall) { arms.push_back({dense - between(0.01, 0.03), between(1.05, 1.5)}); }
    if (law == Law::kAtMargin) { arms.push_back({dense - margin, 1.3}); }
    if (law == Law::kCopies) { arms.push_back({dense, 1}); }
    if (planted) { arms.push_back({dense, between(1.2, 1.5)}); }
    if (law == Law::kTies) {
      const double loss = between(0, 0.1);
      arms.push_back({dense - loss, 1.05 + 4 * loss});
    }
    if (law == Law::kBestOf || (law == Law::kPlanted && !planted)) {
      const double loss = between(0, 0.3);
      arms.push_back({dense - loss, 1.25 * std::exp(0.15 * normal(rng))});
    }
  }
  return {std::move(arms), measuring, seed};
}

// A front of six, dense attention its most accurate member, and 18 arms below it (planted.h).
inline World stairs(uint64_t seed, std::set<size_t>& truth) {
  constexpr size_t kDominated = 18;
  const auto accuracy = [](double skill) {
    double sum = 0;
    double weight = 0;
    for (int i = -100; i <= 100; ++i) {
      const double z = 0.06 * i;
      sum += std::exp(-z * z / 2) / (1 + std::exp(-skill - std::hypot(1.0, 0.3) * z));
      weight += std::exp(-z * z / 2);
    }
    return sum / weight;
  };
  std::vector<KnownArm> arms = {{accuracy(3.0), 1.0}};
  truth = {0};
  for (const auto& arm : staircase(kDominated, seed)) {
    if (arm.speed == 1.0) {
      continue;  // dense attention itself
    }
    const std::set<double> steps = {1.4, 1.9, 2.5, 3.2, 4.0};
    if (steps.contains(arm.speed)) { truth.insert(arms.size()); }
    arms.push_back({accuracy(arm.skill), arm.speed});
  }
  return {std::move(arms), {}, seed};
}

// Why a search claimed none of the policies that are worth finding: where the one that came furthest fell out.
enum class Missed {
  kPruned,      // in the race
  kNoFinalist,  // passed, and no finalist
  kBehind,      // a finalist, and not asked: one before it was not kept
  kLost,        // said to lose the margin
  kHopeless,    // asked no further: its chance to be kept had become too small
  kCannotSay,   // all problems did not tell
  kNotFaster,   // kept, and not known to be faster
  kCount
};
inline constexpr std::array<const char*, static_cast<size_t>(Missed::kCount)> kMissedNames = {
    "pruned", "no finalist", "not asked", "lost", "given up", "cannot say", "not known to be faster"};

// What many searches claimed.
struct Tally {
  int worlds = 0;
  int headlines = 0;
  int headlines_that_lose = 0;  // more than the margin
  int worlds_falsely_kept = 0;  // with a policy called kept that loses the margin or more
  int not_faster = 0;           // headlines no faster than dense attention
  int found = 0;                // worlds with a kept policy within the margin and at least 1.2 times as fast
  int speeds_covered = 0;       // of headlines
  int differences_covered = 0;  // of finalists that were asked
  int asked = 0;
  int fronts_of_one = 0;
  double answers = 0;
  double front_answers = 0;  // of members of the front, where time is left
  double loss = 0;           // sum over headlines
  int worth_finding = 0;     // worlds with a policy within the margin and at least 1.2 times as fast
  std::array<int, static_cast<size_t>(Missed::kCount)> missed{};  // of these, where none was found
};

inline bool is_worth_finding(const World& world, size_t arm, double margin) {
  return arm > 0 && world.arm(0).accuracy - world.arm(arm).accuracy <= margin && world.arm(arm).speed >= 1.2;
}

inline Missed why_missed(const LoopEnd& end, size_t arm, int problems) {
  for (const Claim& claim : end.claims) {
    if (claim.candidate != static_cast<int64_t>(arm)) { continue; }
    if (claim.keeping == evals::Keeping::kLost) { return Missed::kLost; }
    if (claim.keeping == evals::Keeping::kKept) { return Missed::kNotFaster; }
    return claim.problems < problems ? Missed::kHopeless : Missed::kCannotSay;
  }
  const auto planned = std::find(end.sequence.begin(), end.sequence.end(), static_cast<int64_t>(arm));
  if (planned != end.sequence.end()) { return Missed::kBehind; }
  const bool passed = std::any_of(end.points.begin(), end.points.end(),
                                  [&](const Point& point) { return point.candidate == static_cast<int64_t>(arm); });
  return passed ? Missed::kNoFinalist : Missed::kPruned;
}

inline void count_missed(const World& world, const LoopEnd& end, const SequenceRules& rules, Tally& tally) {
  Missed furthest = Missed::kPruned;
  for (size_t arm = 1; arm < world.size(); ++arm) {
    if (!is_worth_finding(world, arm, rules.margin)) { continue; }
    furthest = std::max(furthest, why_missed(end, arm, rules.problems));
  }
  ++tally.missed[static_cast<size_t>(furthest)];
}

inline void count_world(const World& world, const LoopEnd& end, const SequenceRules& rules, Tally& tally) {
  constexpr double kSlack = 1e-9;
  const double margin = rules.margin;
  const auto loss_of = [&](const Claim& claim) {
    return world.arm(0).accuracy - world.arm(static_cast<size_t>(claim.candidate)).accuracy;
  };
  ++tally.worlds;
  tally.answers += static_cast<double>(end.answers() - end.front_held_out);
  tally.front_answers += static_cast<double>(end.front_held_out);
  tally.fronts_of_one += end.front.size() == 1 ? 1 : 0;
  bool falsely = false;
  bool found = false;
  for (const Claim& claim : end.claims) {
    falsely = falsely || (claim.kept && loss_of(claim) >= margin - kSlack);
    found =
        found || (claim.kept && claim.faster && is_worth_finding(world, static_cast<size_t>(claim.candidate), margin));
    if (claim.problems == 0) { continue; }
    ++tally.asked;
    tally.differences_covered += claim.difference.lo <= -loss_of(claim) && -loss_of(claim) <= claim.difference.hi;
  }
  tally.worlds_falsely_kept += falsely ? 1 : 0;
  tally.found += found ? 1 : 0;
  bool worth_finding = false;
  for (size_t arm = 1; arm < world.size(); ++arm) { worth_finding |= is_worth_finding(world, arm, margin); }
  tally.worth_finding += worth_finding ? 1 : 0;
  if (worth_finding && !found) { count_missed(world, end, rules, tally); }
  const Claim* headline = headline_of(end.claims);
  if (headline == nullptr) { return; }
  const double speed = world.arm(static_cast<size_t>(headline->candidate)).speed;
  ++tally.headlines;
  tally.loss += loss_of(*headline);
  tally.headlines_that_lose += loss_of(*headline) > margin + kSlack ? 1 : 0;
  tally.not_faster += speed <= 1 ? 1 : 0;
  tally.speeds_covered += headline->speed->ratio.lo <= speed && speed <= headline->speed->ratio.hi;
}

inline Tally search_worlds(Law law, int candidates, const WorldLaw& measuring, int worlds, uint64_t first_seed,
                           const LoopRules& rules = {}) {
  Tally tally;
  for (int i = 0; i < worlds; ++i) {
    const World world =
        draw_world(law, candidates, measuring, first_seed + static_cast<uint64_t>(i), rules.sequence.margin);
    count_world(world, Loop(world, rules).run(), rules.sequence, tally);
  }
  return tally;
}

// Of searches whose both arms draw from one law: in how many worlds the arms are told apart, and in how many the search
// is said to beat independent proposals.
struct OneLaw {
  int told_apart = 0;
  int beats = 0;
};

inline OneLaw one_law(int an_arm, int worlds, uint64_t first_seed) {
  OneLaw count;
  for (int i = 0; i < worlds; ++i) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(i);
    const World world = draw_world(Law::kBestOf, 2 * an_arm, {}, seed);
    Arm arms[2];
    for (size_t arm = 1; arm < world.size(); ++arm) {
      Point point;
      point.candidate = static_cast<int64_t>(arm);
      point.outcomes = world.answers(arm, "race", 0, 24);
      point.accuracy = evals::accuracy_interval(point.outcomes, 1);
      point.speed = speed_of_runs({world.process(arm, 0)}, {});
      Arm& mine = arms[arm % 2];
      mine.points.push_back(std::move(point));
      ++mine.evaluations;
    }
    const ArmComparison comparison = compare_arms({}, arms[0], arms[1], seed);
    const bool told = comparison.p <= 0.05;
    count.told_apart += told ? 1 : 0;
    count.beats += told && comparison.difference > 0 ? 1 : 0;
  }
  return count;
}

// The candidate that looks best after one race, of worlds: how much better it looks than it is, as measured and shrunk
// (expected_differences), and how often the shrunk interval holds the truth.
struct BestOfMany {
  double raw = 0;
  double shrunk = 0;
  int covered = 0;
};

inline BestOfMany best_of_many(Law law, int candidates, const WorldLaw& measuring, int worlds, uint64_t first_seed) {
  constexpr int kProblems = 24;
  BestOfMany sum;
  for (int i = 0; i < worlds; ++i) {
    const World world = draw_world(law, candidates, measuring, first_seed + static_cast<uint64_t>(i));
    Archive archive(1);
    std::vector<int64_t> all;
    for (size_t arm = 0; arm < world.size(); ++arm) {
      Point point;
      point.candidate = static_cast<int64_t>(arm);
      point.key = std::to_string(arm);
      point.reference = arm == 0;
      point.outcomes = world.answers(arm, "race", 0, kProblems);
      point.accuracy = evals::accuracy_interval(point.outcomes, 1);
      point.speed = exact_speed(1);
      archive.add(std::move(point));
      if (arm > 0) { all.push_back(static_cast<int64_t>(arm)); }
    }
    const auto measured = [&](const Expected& one) {
      return evals::paired_mean(archive.find(one.candidate)->outcomes, archive.reference()->outcomes);
    };
    const std::vector<Expected> expected = expected_differences(archive, all);
    const Expected& best =
        *std::max_element(expected.begin(), expected.end(),
                          [&](const Expected& a, const Expected& b) { return measured(a) < measured(b); });
    const double truth = world.arm(static_cast<size_t>(best.candidate)).accuracy - world.arm(0).accuracy;
    sum.raw += (measured(best) - truth) / worlds;
    sum.shrunk += (best.difference.value - truth) / worlds;
    sum.covered += best.difference.lo <= truth && truth <= best.difference.hi ? 1 : 0;
  }
  return sum;
}

// P(Binomial(n, p) >= k).
inline double binomial_tail(int k, int n, double p) {
  double sum = 0;
  for (int i = k; i <= n; ++i) {
    sum += std::exp(std::lgamma(n + 1.0) - std::lgamma(i + 1.0) - std::lgamma(n - i + 1.0) + i * std::log(p) +
                    (n - i) * std::log1p(-p));
  }
  return sum;
}

// A test that draws its worlds anew every day must not fail by luck: it fails only where what was seen would come once
// in a million days if the claim held.
inline constexpr double kOnceInAMillion = 1e-6;
inline bool is_at_most(int seen, int of, double share) { return binomial_tail(seen, of, share) > kOnceInAMillion; }
inline bool is_at_least(int seen, int of, double share) { return is_at_most(of - seen, of, 1 - share); }

// The day's seeds: VORTEX_CALIBRATION_SEED, or the date.
inline uint64_t days_seed() {
  const char* wanted = std::getenv("VORTEX_CALIBRATION_SEED");
  if (wanted != nullptr) { return std::strtoull(wanted, nullptr, 10); }
  return static_cast<uint64_t>(std::time(nullptr) / 86400) * 1'000'000;
}

}  // namespace vortex::study
