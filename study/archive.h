#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "evals/statistics.h"
#include "study/speed.h"

namespace vortex::study {

// One policy that climbed the whole ladder, in the plane of accuracy and speed (dense attention is 1). Both objectives
// are better when larger.
struct Point {
  int64_t candidate = 0;
  std::string key;              // identity: equal keys are one point
  bool reference = false;       // dense attention, what all others are measured against
  evals::AnswerSheet outcomes;  // on the search problems, paired over points
  evals::Interval accuracy;
  Speed speed;         // over dense attention's
  int rounds = 0;      // of further problems that it answered
  double promise = 0;  // promise_of_kl of its right answers; 0: nobody asked
};

// 1 where right answers cost a policy no surprise, near 0 where they do: by the KL from dense attention on their
// tokens, in nats a token, which tells policies apart sooner than their answers do (docs/benchmarks/selection.md).
inline constexpr double kPromiseNats = 0.1;  // in which a promise falls to 1 / e
inline double promise_of_kl(double kl) { return std::exp(-kl / kPromiseNats); }

// What right answers cost a policy, by its promise: from 0 to 1, about their KL where that is small. Answers are lost
// in proportion (docs/benchmarks/real-model.md).
inline double surprise_of_promise(double promise) { return 1 - std::pow(promise, kPromiseNats); }

// Is `a` better than `b`, as far as the data can tell?
enum class Advantage { kBetter, kWorse, kInconclusive };
// Both at a level of about 99.5 %, since a search makes many comparisons. Accuracy is paired by (problem, trial), with
// the interval of the difference widened by sqrt(2).
Advantage compare_accuracy(const Point& a, const Point& b, uint64_t seed);
Advantage compare_accuracy(const evals::Interval& difference);  // the same of their paired difference
Advantage compare_speed(const Point& a, const Point& b);

// The points and their interval-aware front, built by adding points in the order of the search.
//
// A challenger enters the front only if it is conclusively better than each incumbent in at least one objective: copies
// of one policy, and policies that the data cannot tell apart, give a front of one. An incumbent leaves when a new
// member is conclusively better in one objective and, by its value, no worse in the other: the front never trades
// accuracy away in steps too small to be seen. The reference does not leave: however many problems a policy answers as
// well as dense attention does, they do not show that it loses nothing.
//
// That nothing shows a point to be better keeps it off the front, but does not show that it is worse. It is excluded
// where a member that it does not outrun keeps its accuracy within the margin; until then it is undecided.
class Archive {
 public:
  explicit Archive(uint64_t seed, double margin = 0.1) : seed_(seed), margin_(margin) {}

  // True if the point entered the front. A key that is known already changes nothing.
  bool add(Point point);
  // Puts what is known of points today in place of what was known, by candidate: the front is the one that adding all
  // in the same order would have given. Those whose candidate is no point, or has another key, change nothing.
  void replace(std::vector<Point> points);

  const std::vector<Point>& points() const { return points_; }
  const std::vector<size_t>& front() const { return front_; }  // indices into points(), in order of entry
  // A point that is neither a member nor excluded, and that would be on the front in at least one resampled world of
  // twenty.
  struct Undecided {
    size_t point = 0;        // index into points()
    double probability = 0;  // of being dominated by no other point
  };
  std::vector<Undecided> undecided() const;  // the likeliest first
  uint64_t seed() const { return seed_; }
  double margin() const { return margin_; }
  bool on_front(int64_t candidate) const;
  const Point* find(int64_t candidate) const;  // null where it is no point
  const Point* reference() const;              // null before it was added
  bool is_member(size_t point) const { return states_[point].member; }
  // Of what is known of a point: no other archive's, no other point's, and another one once that has changed.
  uint64_t stamp(size_t point) const { return states_[point].stamp; }

  // Points that differ from the reference by the same interval, and promise the same, by number. Hundreds of thousands
  // of points whose right answers were not forced are of a few hundred groups, because the same problems can be won and
  // lost in so many ways only.
  struct Groups {
    std::vector<evals::Interval> differences;  // to the reference's accuracy, paired; by group
    std::vector<double> promises;              // Point::promise
    std::vector<int> of_point;                 // by point; -1: the reference itself
  };
  // Kept from call to call. Without a reference there are none. Not thread-safe.
  const Groups& groups() const;

 private:
  // A member that a point met when it asked to enter, and what came of it.
  struct Met {
    uint64_t stamp = 0;
    bool beaten = false;  // in one objective
    bool leaves = false;
  };
  struct State {
    uint64_t stamp = 0;
    bool member = false;
    // A member that kept it out, and what was known of both then; 0: none did.
    size_t blocker = 0;
    uint64_t blocked = 0;
    uint64_t blocking = 0;
  };

  bool enter(size_t point);
  bool is_kept_out(size_t point);
  Met meet(const Point& challenger, size_t member) const;
  bool is_excluded(size_t point) const;
  int group_of(const evals::Interval& difference, double promise) const;

  uint64_t seed_;
  double margin_;
  std::vector<Point> points_;
  std::vector<size_t> front_;
  std::unordered_set<std::string> keys_;
  std::unordered_map<int64_t, size_t> places_;  // of candidates in points_
  std::vector<State> states_;                   // by point
  // Whom those that entered met then, behind their own stamp.
  std::unordered_map<size_t, std::pair<uint64_t, std::vector<Met>>> met_;

  // Derived when it is asked for.
  mutable Groups groups_;
  mutable std::map<std::array<double, 4>, int> group_numbers_;
  mutable std::vector<uint64_t> grouped_;  // stamps of the points as they were
  mutable uint64_t grouped_by_ = 0;        // the reference's
};

// For each point the share of resampled worlds (replicates.h) in which no other of the points dominates it.
std::vector<double> nondominated_probability(const std::vector<Point>& points, uint64_t seed);

}  // namespace vortex::study
