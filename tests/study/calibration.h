#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "study/claims.h"
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
  double loss = 0;  // sum over headlines
};

inline void count_world(const World& world, const LoopEnd& end, double margin, Tally& tally) {
  constexpr double kSlack = 1e-9;
  const auto loss_of = [&](const Claim& claim) {
    return world.arm(0).accuracy - world.arm(static_cast<size_t>(claim.candidate)).accuracy;
  };
  ++tally.worlds;
  tally.answers += static_cast<double>(end.answers());
  tally.fronts_of_one += end.front.size() == 1 ? 1 : 0;
  bool falsely = false;
  bool found = false;
  for (const Claim& claim : end.claims) {
    const double speed = world.arm(static_cast<size_t>(claim.candidate)).speed;
    falsely = falsely || (claim.kept && loss_of(claim) >= margin - kSlack);
    found = found || (claim.kept && claim.faster && loss_of(claim) <= margin && speed >= 1.2);
    if (claim.problems == 0) { continue; }
    ++tally.asked;
    tally.differences_covered += claim.difference.lo <= -loss_of(claim) && -loss_of(claim) <= claim.difference.hi;
  }
  tally.worlds_falsely_kept += falsely ? 1 : 0;
  tally.found += found ? 1 : 0;
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
    count_world(world, Loop(world, rules).run(), rules.sequence.margin, tally);
  }
  return tally;
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
