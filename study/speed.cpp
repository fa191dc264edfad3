#include "study/speed.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "evals/distributions.h"

namespace vortex::study {
namespace {

using evals::kSigmas;
constexpr double kOthersCount = 10;  // degrees of freedom at most that other policies lend to one
constexpr double kPriorDof = 4;      // of a deviation that other machines had
constexpr size_t kUsual = 5;         // processes that tell what is usual

// Quantiles take long to find, and few are asked for: degrees of freedom are small whole numbers.
double quantile(double p, double dof) {
  thread_local std::map<std::pair<double, double>, double> known;
  const auto [entry, is_new] = known.try_emplace({p, dof}, 0.0);
  if (is_new) { entry->second = dof > 0 ? evals::student_quantile(p, dof) : evals::normal_quantile(p); }
  return entry->second;
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

// Of sorted values from a middle one: distances grow outwards from it, so the two sides are merged.
double median_distance(const std::vector<double>& sorted, double from) {
  auto below = static_cast<size_t>(std::lower_bound(sorted.begin(), sorted.end(), from) - sorted.begin());
  size_t above = below;
  double last = 0;
  double before = 0;
  for (size_t taken = 0; taken <= sorted.size() / 2; ++taken) {
    const bool down = below > 0 && (above == sorted.size() || from - sorted[below - 1] <= sorted[above] - from);
    before = last;
    last = down ? from - sorted[--below] : sorted[above++] - from;
  }
  return sorted.size() % 2 == 0 ? (before + last) / 2 : last;
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
  const double half = quantile(0.975, speed.dof) * speed.error;
  speed.ratio = {std::exp(own.mean), std::exp(own.mean - half), std::exp(own.mean + half)};
  return speed;
}

Speed exact_speed(double ratio) { return {{ratio, ratio, ratio}, 0, 0}; }

bool surely_faster(const Speed& a, const Speed& b, double level) {
  const double difference = std::log(a.ratio.value) - std::log(b.ratio.value);
  const double variance = a.error * a.error + b.error * b.error;
  if (variance <= 0) { return difference > 0; }
  // Student's quantile is never below the normal one, which costs less.
  const double error = std::sqrt(variance);
  if (difference <= quantile(1 - level, 0) * error) { return false; }
  // Welch and Satterthwaite's degrees of freedom of a sum of two variances.
  const auto part = [](const Speed& speed) { return speed.error > 0 ? std::pow(speed.error, 4) / speed.dof : 0.0; };
  const double dof = variance * variance / (part(a) + part(b));
  // They are never fewer than those of either, whose quantile is known.
  const double fewest = std::min(a.error > 0 ? a.dof : dof, b.error > 0 ? b.dof : dof);
  if (fewest >= 1 && difference > quantile(1 - level, std::floor(fewest)) * error) { return true; }
  return difference > evals::student_quantile(1 - level, dof) * error;
}

void UsualRate::add(const SpeedRun& run) {
  if (run.dense_tokens_per_s <= 0) { return; }
  rates_.insert(std::upper_bound(rates_.begin(), rates_.end(), run.dense_tokens_per_s), run.dense_tokens_per_s);
  is_current_ = false;
}

double UsualRate::median() const {
  if (rates_.empty()) { return 0; }
  return (rates_[(rates_.size() - 1) / 2] + rates_[rates_.size() / 2]) / 2;
}

double UsualRate::bar() const {
  if (is_current_ || rates_.size() < kUsual) { return bar_; }
  is_current_ = true;
  const double usual = median();
  bar_ = usual - std::max(tolerance_ * usual, 3 * 1.4826 * median_distance(rates_, usual));
  return bar_;
}

bool UsualRate::agrees_with(double bar_then) const {
  const auto below = [&](double bar) { return std::lower_bound(rates_.begin(), rates_.end(), bar) - rates_.begin(); };
  return below(bar()) == below(bar_then);
}

}  // namespace vortex::study
