#include "study/racing.h"

#include <algorithm>
#include <map>

namespace vortex::study {
namespace {

constexpr double kHope = 1;  // standard errors that a prospect may turn out better

// One look at an archive.
class Look {
 public:
  Look(const Archive& archive, const RaceRules& rules, std::vector<Racing::Closed>& closed)
      : archive_(archive), rules_(rules), closed_(closed) {
    closed_.resize(archive.points().size());
  }

  std::vector<Retest> wanted() {
    for (size_t i = 0; i < archive_.points().size(); ++i) {
      archive_.is_member(i) ? doubt_member(archive_.points()[i]) : give_chance(i);
    }
    std::vector<Retest> result;
    for (const auto& [candidate, round] : rounds_) { result.push_back({candidate, round}); }
    return result;
  }

 private:
  // Is it open whether `a` is more accurate than `b`, by enough to matter?
  bool is_open(const Point& a, const Point& b) const {
    if (std::min(a.rounds, b.rounds) >= rules_.max_rounds) { return false; }
    const evals::Interval difference = evals::paired_difference(a.outcomes, b.outcomes, archive_.seed());
    const double hopeful = difference.value + rules_.optimism * (difference.hi - difference.value);
    return hopeful > rules_.indifference && compare_accuracy(a, b, archive_.seed()) == Advantage::kInconclusive;
  }

  bool is_closed(size_t point) const {
    const Racing::Closed& closed = closed_[point];
    return closed.point == archive_.stamp(point) && closed.by < archive_.points().size() &&
           archive_.is_member(closed.by) && closed.stamp == archive_.stamp(closed.by);
  }

  // A point outside: could it beat every member that keeps it out?
  void give_chance(size_t point) {
    if (is_closed(point)) { return; }
    const Point& challenger = archive_.points()[point];
    std::vector<const Point*> blockers;
    for (const size_t i : archive_.front()) {
      const Point& member = archive_.points()[i];
      if (compare_speed(challenger, member) == Advantage::kBetter) { continue; }
      if (compare_accuracy(challenger, member, archive_.seed()) == Advantage::kBetter) { continue; }
      if (!is_open(challenger, member)) {
        closed_[point] = {archive_.stamp(point), i, archive_.stamp(i)};
        return;
      }
      blockers.push_back(&member);
    }
    for (const Point* blocker : blockers) { meet(challenger, *blocker); }
  }

  // A member that is slower than another: is it really more accurate? The reference stays whatever the answer.
  void doubt_member(const Point& member) {
    if (member.reference) { return; }
    for (const size_t i : archive_.front()) {
      const Point& faster = archive_.points()[i];
      if (compare_speed(faster, member) == Advantage::kBetter && is_open(member, faster)) { meet(member, faster); }
    }
  }

  // Both answer the first round that one of them lacks.
  void meet(const Point& a, const Point& b) {
    const int round = std::min(a.rounds, b.rounds) + 1;
    if (a.rounds < round) { rounds_[a.candidate] = round; }
    if (b.rounds < round) { rounds_[b.candidate] = round; }
  }

  const Archive& archive_;
  RaceRules rules_;
  std::vector<Racing::Closed>& closed_;
  std::map<int64_t, int> rounds_;
};

}  // namespace

std::vector<Retest> retests_of_prospects(const Archive& archive, const SequenceRules& rules, int rounds) {
  std::vector<Retest> wanted;
  SequenceRules hopeful = rules;
  hopeful.hope = kHope;
  std::vector<const Point*> points;
  for (const int64_t candidate : best_sequence(archive, hopeful)) { points.push_back(archive.find(candidate)); }
  std::sort(points.begin(), points.end());  // in the archive's order
  for (const Point* point : points) {
    if (point->rounds < rounds) { wanted.push_back({point->candidate, point->rounds + 1}); }
  }
  return wanted;
}

std::vector<Retest> Racing::wanted(const Archive& archive) { return Look(archive, rules_, closed_).wanted(); }

std::vector<Retest> retests(const Archive& archive, const RaceRules& rules) { return Racing(rules).wanted(archive); }

}  // namespace vortex::study
