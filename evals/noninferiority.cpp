#include "evals/noninferiority.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "evals/distributions.h"

namespace vortex::evals {
namespace {

// With these at most 0.025 of policies that lose the margin are kept at any look (tests/study/claims_test.cpp).
constexpr int kLooks = 8;
constexpr double kOneLook = 2.0;
constexpr double kADoubling = 1.0 / 15;  // of the number of looks adds

// Of equal size.
int number_of_looks(int in_all) { return std::clamp(in_all / kFewestAtALook, 1, kLooks); }

// P(Binomial(n, p) = k).
double binomial(double k, double n, double p) {
  if (p <= 0) { return k == 0 ? 1 : 0; }
  if (p >= 1) { return k == n ? 1 : 0; }
  return std::exp(log_gamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1) + k * std::log(p) +
                  (n - k) * std::log1p(-p));
}

}  // namespace

std::string_view keeping_name(Keeping keeping) {
  switch (keeping) {
    case Keeping::kKept:
      return "kept";
    case Keeping::kLost:
      return "lost";
    case Keeping::kCannotSay:
      break;
  }
  return "cannot say";
}

Keeping judge_keeping(const Interval& difference, double margin) {
  if (difference.lo > -margin) { return Keeping::kKept; }
  return difference.hi < -margin ? Keeping::kLost : Keeping::kCannotSay;
}

std::vector<int> looks_at(int in_all) {
  std::vector<int> looks;
  const int number = number_of_looks(in_all);
  for (int early = kFewestAtALook; 2 * early * number <= in_all; early *= 2) { looks.push_back(early); }
  for (int look = 1; look <= number; ++look) { looks.push_back(static_cast<int>(int64_t{in_all} * look / number)); }
  return looks;
}

double last_look_sigmas(int in_all) { return kOneLook + kADoubling * std::log2(number_of_looks(in_all)); }

double look_sigmas(int answered, int in_all) {
  const double share = std::min(1.0, static_cast<double>(answered) / in_all);
  return last_look_sigmas(in_all) / std::sqrt(std::sqrt(share));
}

double chance_of_keeping(int problems, double margin, double discordance) {
  const double n = problems;
  const double spread = 5 * std::sqrt(n * discordance * (1 - discordance)) + 2;
  const int least = std::max(0, static_cast<int>(n * discordance - spread));
  const int most = std::min(problems, static_cast<int>(std::ceil(n * discordance + spread)));
  const double sigmas = last_look_sigmas(problems);
  double chance = 0;
  for (int apart = least; apart <= most; ++apart) {
    // The fewer are won the lower the interval lies: the smallest number that is enough decides.
    int lo = 0;
    int hi = apart + 1;
    while (lo < hi) {
      const int won = (lo + hi) / 2;
      const bool kept = difference_interval(won / n, (apart - won) / n, n, sigmas).lo > -margin;
      (kept ? hi : lo) = kept ? won : won + 1;
    }
    double enough = 0;
    for (int won = lo; won <= apart; ++won) { enough += binomial(won, apart, 0.5); }
    chance += binomial(apart, n, discordance) * enough;
  }
  return chance;
}

std::optional<int> problems_needed(double margin, const Plan& plan, int most) {
  const auto enough = [&](int n) { return chance_of_keeping(n, margin, plan.discordance) >= plan.power; };
  int hi = 1;
  while (hi < most && !enough(hi)) { hi = std::min(2 * hi, most); }
  if (!enough(hi)) { return std::nullopt; }
  int lo = hi / 2;
  while (hi - lo > 1) {
    const int middle = (lo + hi) / 2;
    (enough(middle) ? hi : lo) = middle;
  }
  return hi;
}

std::optional<double> supported_margin(int problems, const Plan& plan) {
  for (int points = 1; points < 100; ++points) {
    if (chance_of_keeping(problems, points / 100.0, plan.discordance) >= plan.power) { return points / 100.0; }
  }
  return std::nullopt;
}

Discordance expected_discordance(double accuracy) {
  const double independent = 2 * accuracy * (1 - accuracy);
  return {independent / 4, independent};
}

double chance_left(const Interval& difference, int answered, int in_all, double margin, double width) {
  const double error = (difference.hi - difference.lo) / (2 * kSigmas);
  if (in_all <= answered) { return difference.lo > -margin ? 1 : 0; }
  const double share = static_cast<double>(answered) / in_all;
  // At the end the value will lie around today's with the error of what is still to come, seen from today.
  const double wanted = -margin + width * last_look_sigmas(in_all) * error * std::sqrt(share);
  const double still = error * std::sqrt(1 - share);
  return 1 - normal_cdf((wanted - difference.value) / std::max(still, 1e-12));
}

}  // namespace vortex::evals
