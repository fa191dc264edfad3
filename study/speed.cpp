#include "study/speed.h"

#include <algorithm>
#include <cmath>

#include "evals/distributions.h"

namespace vortex::study {
namespace {

using evals::kSigmas;
constexpr double kOthersCount = 10;  // degrees of freedom at most that other policies lend to one
constexpr double kPriorDof = 4;      // of a deviation that other machines had
constexpr size_t kUsual = 5;         // processes that tell what is usual

double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

struct Logs {
  double mean = 0;
  double squares = 0;  // sum of squared distances from the mean
};

Logs logs_of(const std::vector<SpeedRun>& runs) {
  Logs logs;
  for (const SpeedRun& run : runs) { logs.mean += std::log(run.ratio.value) / static_cast<double>(runs.size()); }
  for (const SpeedRun& run : runs) { logs.squares += std::pow(std::log(run.ratio.value) - logs.mean, 2); }
  return logs;
}

// Standard error of a process's own median, from the width of its interval.
double error_within(const SpeedRun& run) {
  if (run.ratio.lo <= 0 || run.ratio.hi <= run.ratio.lo) { return 0; }
  return std::log(run.ratio.hi / run.ratio.lo) / (2 * kSigmas);
}

}  // namespace

SpeedSpread speed_spread(const std::vector<std::vector<SpeedRun>>& policies) {
  double squares = 0;
  double dof = 0;
  for (const std::vector<SpeedRun>& runs : policies) {
    if (runs.size() < 2) { continue; }
    squares += logs_of(runs).squares;
    dof += static_cast<double>(runs.size()) - 1;
  }
  if (dof == 0) { return {}; }
  return {std::sqrt(squares / dof), dof};
}

Speed speed_of_runs(const std::vector<SpeedRun>& runs, const SpeedSpread& spread) {
  const Logs own = logs_of(runs);
  const double own_dof = static_cast<double>(runs.size()) - 1;
  // Its own processes are part of the spread: they must not count twice.
  const double others_dof = std::max(0.0, spread.dof - own_dof);
  const double all_squares = spread.deviation * spread.deviation * spread.dof;
  const double others = others_dof > 0 ? std::max(0.0, all_squares - own.squares) / others_dof : 0;
  const double lent = std::min(others_dof, kOthersCount);
  Speed speed;
  double variance = 0;
  if (lent + own_dof > 0) {
    variance = (lent * others + own.squares) / (lent + own_dof);
    speed.dof = lent + own_dof;
  } else {
    // One process on a machine of which nothing is known yet.
    variance = std::pow(spread.deviation, 2) + std::pow(error_within(runs.front()), 2);
    speed.dof = kPriorDof;
  }
  speed.error = std::sqrt(variance / static_cast<double>(runs.size()));
  const double half = evals::student_quantile(0.975, speed.dof) * speed.error;
  speed.ratio = {std::exp(own.mean), std::exp(own.mean - half), std::exp(own.mean + half)};
  return speed;
}

Speed exact_speed(double ratio) { return {{ratio, ratio, ratio}, 0, 0}; }

bool surely_faster(const Speed& a, const Speed& b, double level) {
  const double difference = std::log(a.ratio.value) - std::log(b.ratio.value);
  const double variance = a.error * a.error + b.error * b.error;
  if (variance <= 0) { return difference > 0; }
  // Student's quantile is never below the normal one, which costs less.
  if (difference <= evals::normal_quantile(1 - level) * std::sqrt(variance)) { return false; }
  // Welch and Satterthwaite's degrees of freedom of a sum of two variances.
  const auto part = [](const Speed& speed) { return speed.error > 0 ? std::pow(speed.error, 4) / speed.dof : 0.0; };
  const double dof = variance * variance / (part(a) + part(b));
  return difference > evals::student_quantile(1 - level, dof) * std::sqrt(variance);
}

bool is_contended(const SpeedRun& run, const std::vector<SpeedRun>& all, double tolerance) {
  if (all.size() < kUsual || run.dense_tokens_per_s <= 0) { return false; }
  std::vector<double> rates;
  for (const SpeedRun& other : all) { rates.push_back(other.dense_tokens_per_s); }
  const double usual = middle(rates);
  for (double& rate : rates) { rate = std::abs(rate - usual); }
  const double distance = usual - run.dense_tokens_per_s;
  return distance > tolerance * usual && distance > 3 * 1.4826 * middle(rates);
}

}  // namespace vortex::study
