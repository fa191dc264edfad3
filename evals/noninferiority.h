#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "evals/statistics.h"

namespace vortex::evals {

// Does a policy keep the accuracy of dense attention within a margin? The one rule for every such claim (ICH E10: not
// telling two accuracies apart is no evidence that they are equal). `margin` is a share: 0.1 is ten points.
enum class Keeping {
  kKept,       // the whole interval of policy minus dense lies above -margin
  kLost,       // the whole interval lies below -margin
  kCannotSay,  // neither: more problems would tell
};
std::string_view keeping_name(Keeping keeping);  // kept, lost, cannot say
Keeping judge_keeping(const Interval& difference, double margin);

// Held-out problems are asked in rounds, and each round is a look at the claim: how many are answered by the end of
// each, up to `in_all` > 0. Eight of equal size, fewer where that were below 48 problems; before them some that double
// from 48.
inline constexpr int kFewestAtALook = 48;
std::vector<int> looks_at(int in_all);
// An interval this many standard errors to each side holds at all looks together at 95 %: wide at early looks, at the
// last one hardly wider than one that is looked at once (Wang and Tsiatis 1987, with a power of a quarter: between
// O'Brien and Fleming's, which hardly ever decide early, and Pocock's, which pay for it at the last).
double look_sigmas(int answered, int in_all);
// Those of an interval that was looked at before it was decided to end there: what is printed beside a claim.
double last_look_sigmas(int in_all);

// Both sides of a plan: on which share of problems a policy that is truly as accurate as dense attention answers
// otherwise (half of these either way), and with what chance `judge_keeping` must then say kept.
struct Plan {
  double discordance = 0.16;
  double power = 0.9;
};

// The chance that such a policy is found to keep its accuracy on `problems` shared ones, counted exactly over what may
// be won and lost, with the interval that paired_difference gives one answer a problem.
double chance_of_keeping(int problems, double margin, double discordance);
// The smallest number of problems that has the plan's power; nothing where `most` are not enough.
std::optional<int> problems_needed(double margin, const Plan& plan, int most = 1 << 15);
// The smallest margin, in whole points, that `problems` support at the plan's power; nothing where none below 1 does.
std::optional<double> supported_margin(int problems, const Plan& plan);

// On which share of problems a policy as accurate as dense attention is expected to answer otherwise.
struct Discordance {
  double alike = 0;        // greedy decoding: nine of ten lucks are shared
  double independent = 0;  // sampled answers: only the difficulty of a problem is
};
Discordance expected_discordance(double accuracy);

// Can a policy of which `difference` (a 95 % interval) is known on `answered` problems still be found to keep its
// accuracy when it has answered `in_all`, by an interval `width` times as wide as that of the last look? The chance of
// it if its true difference is what it seems.
double chance_left(const Interval& difference, int answered, int in_all, double margin, double width = 1);

}  // namespace vortex::evals
