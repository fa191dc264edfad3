#include "study/archive.h"

#include <algorithm>
#include <atomic>
#include <numbers>

#include "evals/noninferiority.h"
#include "study/replicates.h"
#include "study/staircase.h"

namespace vortex::study {
namespace {

// The bar of both comparisons: 2.77 standard errors. One plain 95 % interval a comparison would let one in every few
// dozen equal policies in by luck.
constexpr double kCaution = std::numbers::sqrt2;
constexpr double kSpeedLevel = 0.0028;  // one-sided, what a normal number leaves beyond sqrt(2) * 1.96
constexpr double kPlausible = 0.05;     // of an undecided point to be on the front

bool is_same(const Speed& a, const Speed& b) {
  return a.ratio.value == b.ratio.value && a.ratio.lo == b.ratio.lo && a.ratio.hi == b.ratio.hi && a.error == b.error &&
         a.dof == b.dof;
}

bool is_same(const Point& a, const Point& b) {
  return a.reference == b.reference && a.rounds == b.rounds && a.promise == b.promise && is_same(a.speed, b.speed) &&
         a.outcomes == b.outcomes;
}

uint64_t next_stamp() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

}  // namespace

Advantage compare_accuracy(const Point& a, const Point& b, uint64_t seed) {
  return compare_accuracy(evals::paired_difference(a.outcomes, b.outcomes, seed));
}

Advantage compare_accuracy(const evals::Interval& difference) {
  if (difference.value - kCaution * (difference.value - difference.lo) > 0) { return Advantage::kBetter; }
  if (difference.value + kCaution * (difference.hi - difference.value) < 0) { return Advantage::kWorse; }
  return Advantage::kInconclusive;
}

Advantage compare_speed(const Point& a, const Point& b) {
  if (surely_faster(a.speed, b.speed, kSpeedLevel)) { return Advantage::kBetter; }
  if (surely_faster(b.speed, a.speed, kSpeedLevel)) { return Advantage::kWorse; }
  return Advantage::kInconclusive;
}

bool Archive::add(Point point) {
  if (!keys_.insert(point.key).second) { return false; }
  places_[point.candidate] = points_.size();
  points_.push_back(std::move(point));
  states_.push_back({next_stamp()});
  return enter(points_.size() - 1);
}

// One that entered before meets mostly those that it met then.
bool Archive::enter(size_t point) {
  const Point& challenger = points_[point];
  State& state = states_[point];
  auto& [own_stamp, before] = met_[point];
  if (own_stamp != state.stamp) { before.clear(); }
  own_stamp = state.stamp;
  std::vector<Met> met;
  for (const size_t member : front_) {
    const auto known = std::find_if(before.begin(), before.end(),
                                    [&](const Met& other) { return other.stamp == states_[member].stamp; });
    met.push_back(known != before.end() ? *known : meet(challenger, member));
    if (met.back().beaten) { continue; }
    state.blocker = member;
    state.blocked = state.stamp;
    state.blocking = states_[member].stamp;
    met_.erase(point);
    return false;
  }
  std::vector<size_t> front;
  for (size_t i = 0; i < front_.size(); ++i) {
    states_[front_[i]].member = !met[i].leaves;
    if (!met[i].leaves) { front.push_back(front_[i]); }
  }
  front.push_back(point);
  front_ = std::move(front);
  state.member = true;
  before = std::move(met);
  return true;
}

Archive::Met Archive::meet(const Point& challenger, size_t member) const {
  const Point& incumbent = points_[member];
  const bool faster = compare_speed(challenger, incumbent) == Advantage::kBetter;
  const double difference = evals::paired_mean(challenger.outcomes, incumbent.outcomes);
  // A difference whose value is not positive cannot have an interval above zero: the bootstrap can be spared.
  const bool more_accurate = difference > 0 && compare_accuracy(challenger, incumbent, seed_) == Advantage::kBetter;
  const bool leaves =
      !incumbent.reference &&
      ((faster && difference >= 0) || (more_accurate && challenger.speed.ratio.value >= incumbent.speed.ratio.value));
  return {states_[member].stamp, faster || more_accurate, leaves};
}

// Does the member that kept it out last time stand in its way again? One such member is enough, whichever it is.
bool Archive::is_kept_out(size_t point) {
  State& state = states_[point];
  if (state.blocked == 0 || !states_[state.blocker].member) { return false; }
  const uint64_t blocking = states_[state.blocker].stamp;
  if (state.blocked == state.stamp && state.blocking == blocking) { return true; }
  if (meet(points_[point], state.blocker).beaten) { return false; }
  state.blocked = state.stamp;
  state.blocking = blocking;
  return true;
}

void Archive::replace(std::vector<Point> points) {
  bool changed = false;
  for (Point& point : points) {
    const auto place = places_.find(point.candidate);
    if (place == places_.end() || points_[place->second].key != point.key) { continue; }
    if (is_same(points_[place->second], point)) { continue; }
    points_[place->second] = std::move(point);
    states_[place->second].stamp = next_stamp();
    changed = true;
  }
  if (!changed) { return; }
  front_.clear();
  for (State& state : states_) { state.member = false; }
  for (size_t i = 0; i < points_.size(); ++i) {
    if (!is_kept_out(i)) { enter(i); }
  }
}

int Archive::group_of(const evals::Interval& difference, double promise) const {
  const auto [found, is_new] = group_numbers_.try_emplace({difference.value, difference.lo, difference.hi, promise},
                                                          static_cast<int>(groups_.differences.size()));
  if (is_new) {
    groups_.differences.push_back(difference);
    groups_.promises.push_back(promise);
  }
  return found->second;
}

const Archive::Groups& Archive::groups() const {
  const Point* dense = reference();
  if (dense == nullptr) { return groups_; }
  const uint64_t by = states_[static_cast<size_t>(dense - points_.data())].stamp;
  if (by != grouped_by_) {
    groups_ = {};
    group_numbers_.clear();
    grouped_.clear();
    grouped_by_ = by;
  }
  grouped_.resize(points_.size(), 0);
  groups_.of_point.resize(points_.size(), -1);
  for (size_t i = 0; i < points_.size(); ++i) {
    if (grouped_[i] == states_[i].stamp) { continue; }
    grouped_[i] = states_[i].stamp;
    if (points_[i].reference) { continue; }
    const evals::Interval difference = evals::paired_difference(points_[i].outcomes, dense->outcomes, seed_);
    groups_.of_point[i] = group_of(difference, points_[i].promise);
  }
  return groups_;
}

bool Archive::on_front(int64_t candidate) const {
  return std::any_of(front_.begin(), front_.end(), [&](size_t i) { return points_[i].candidate == candidate; });
}

const Point* Archive::find(int64_t candidate) const {
  const auto found = places_.find(candidate);
  return found == places_.end() ? nullptr : &points_[found->second];
}

const Point* Archive::reference() const {
  const auto found = std::find_if(points_.begin(), points_.end(), [](const Point& point) { return point.reference; });
  return found == points_.end() ? nullptr : &*found;
}

bool Archive::is_excluded(size_t point) const {
  return std::any_of(front_.begin(), front_.end(), [&](size_t i) {
    const Point& member = points_[i];
    if (compare_speed(points_[point], member) == Advantage::kBetter) { return false; }
    const evals::Interval difference = evals::paired_difference(member.outcomes, points_[point].outcomes, seed_);
    return evals::judge_keeping(difference, margin_) == evals::Keeping::kKept;
  });
}

std::vector<Archive::Undecided> Archive::undecided() const {
  const std::vector<double> probability = nondominated_probability(points_, seed_);
  std::vector<Undecided> open;
  for (size_t i = 0; i < points_.size(); ++i) {
    if (!states_[i].member && probability[i] >= kPlausible && !is_excluded(i)) { open.push_back({i, probability[i]}); }
  }
  std::stable_sort(open.begin(), open.end(),
                   [](const Undecided& a, const Undecided& b) { return a.probability > b.probability; });
  return open;
}

std::vector<double> nondominated_probability(const std::vector<Point>& points, uint64_t seed) {
  const Replicates worlds(points, seed);
  std::vector<double> wins(points.size(), 0.0);
  for (int number = 0; number < Replicates::kCount; ++number) {
    const Replicates::World world = worlds.draw(number);
    Staircase best;
    for (size_t i = 0; i < points.size(); ++i) { best.add(world.speed[i], world.accuracy[i]); }
    for (size_t i = 0; i < points.size(); ++i) { wins[i] += best.holds(world.speed[i], world.accuracy[i]) ? 1.0 : 0.0; }
  }
  for (double& win : wins) { win /= Replicates::kCount; }
  return wins;
}

}  // namespace vortex::study
