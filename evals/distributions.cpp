#include "evals/distributions.h"

#include <math.h>  // lgamma_r

#include <cmath>
#include <numbers>

namespace vortex::evals {
namespace {

double student_cdf(double t, double dof) {
  const double tail = incomplete_beta(dof / (dof + t * t), dof / 2, 0.5) / 2;
  return t > 0 ? 1 - tail : tail;
}

// The root of an increasing function by bisection, to the last bits of a double.
template <typename Function>
double root(const Function& function, double lo, double hi) {
  for (int step = 0; step < 200 && hi - lo > 1e-13 * (1 + std::abs(lo)); ++step) {
    const double middle = (lo + hi) / 2;
    (function(middle) < 0 ? lo : hi) = middle;
  }
  return (lo + hi) / 2;
}

}  // namespace

double log_gamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

// By its continued fraction (Lentz's method), which converges fast where x < (a + 1) / (a + b + 2); the mirror image
// serves elsewhere.
double incomplete_beta(double x, double a, double b) {
  if (x <= 0) { return 0; }
  if (x >= 1) { return 1; }
  if (x > (a + 1) / (a + b + 2)) { return 1 - incomplete_beta(1 - x, b, a); }
  constexpr double kTiny = 1e-300;
  constexpr double kEnough = 1e-14;
  constexpr int kTerms = 500;
  const double front =
      std::exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log1p(-x)) / a;
  const auto away = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double numerator = 1;
  double denominator = 1 / away(1 - (a + b) * x / (a + 1));
  double fraction = denominator;
  for (int term = 1; term <= kTerms; ++term) {
    const double m = term;
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    denominator = 1 / away(1 + even * denominator);
    numerator = away(1 + even / numerator);
    fraction *= numerator * denominator;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    denominator = 1 / away(1 + odd * denominator);
    numerator = away(1 + odd / numerator);
    fraction *= numerator * denominator;
    if (std::abs(numerator * denominator - 1) < kEnough) { break; }
  }
  return front * fraction;
}

double normal_cdf(double z) { return std::erfc(-z / std::numbers::sqrt2) / 2; }

double normal_quantile(double p) {
  if (p > 0.5) { return -normal_quantile(1 - p); }
  return root([p](double z) { return normal_cdf(z) - p; }, -40, 0.1);
}

double student_quantile(double p, double dof) {
  if (p > 0.5) { return -student_quantile(1 - p, dof); }
  constexpr double kLikeNormal = 1e6;
  if (!(dof < kLikeNormal)) { return normal_quantile(p); }
  double lo = -2;
  while (student_cdf(lo, dof) > p) { lo *= 2; }
  return root([p, dof](double t) { return student_cdf(t, dof) - p; }, lo, 0.1);
}

}  // namespace vortex::evals
