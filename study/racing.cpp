#include "study/racing.h"

#include <algorithm>
#include <map>

namespace vortex::study {
namespace {

constexpr double kHope = 1;  // standard errors that a prospect may turn out better

class Race {
 public:
  Race(const Archive& archive, const RaceRules& rules) : archive_(archive), rules_(rules) {}

  std::vector<Retest> wanted() {
    for (size_t i = 0; i < archive_.points().size(); ++i) {
      const bool member = std::count(archive_.front().begin(), archive_.front().end(), i) > 0;
      member ? doubt_member(archive_.points()[i]) : give_chance(archive_.points()[i]);
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

  // A point outside: could it beat every member that keeps it out?
  void give_chance(const Point& challenger) {
    std::vector<const Point*> blockers;
    for (size_t i : archive_.front()) {
      const Point& member = archive_.points()[i];
      if (compare_speed(challenger, member) == Advantage::kBetter) { continue; }
      if (compare_accuracy(challenger, member, archive_.seed()) == Advantage::kBetter) { continue; }
      if (!is_open(challenger, member)) { return; }
      blockers.push_back(&member);
    }
    for (const Point* blocker : blockers) { meet(challenger, *blocker); }
  }

  // A member that is slower than another: is it really more accurate? The reference stays whatever the answer.
  void doubt_member(const Point& member) {
    if (member.reference) { return; }
    for (size_t i : archive_.front()) {
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
  std::map<int64_t, int> rounds_;
};

}  // namespace

std::vector<Retest> retests_of_prospects(const Archive& archive, const SequenceRules& rules, int rounds) {
  std::vector<Retest> wanted;
  SequenceRules hopeful = rules;
  hopeful.hope = kHope;
  const std::vector<int64_t> sequence = best_sequence(archive, hopeful);
  for (const Point& point : archive.points()) {
    const bool prospect = std::count(sequence.begin(), sequence.end(), point.candidate) > 0;
    if (prospect && point.rounds < rounds) { wanted.push_back({point.candidate, point.rounds + 1}); }
  }
  return wanted;
}

std::vector<Retest> retests(const Archive& archive, const RaceRules& rules) { return Race(archive, rules).wanted(); }

}  // namespace vortex::study
