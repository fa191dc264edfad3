#include "study/racing.h"

#include <algorithm>
#include <map>

namespace vortex::study {
namespace {

constexpr double kHope = 1;        // standard errors that a prospect may turn out better
constexpr double kPatience = 1.5;  // times the problems that are left, in which a comparison should be decided

// One look at an archive.
class Look {
 public:
  Look(const Archive& archive, const RaceRules& rules, Racing::Memory& memory)
      : archive_(archive), rules_(rules), memory_(memory) {
    memory_.closed.resize(archive.points().size());
  }

  std::vector<Retest> wanted() {
    for (size_t i = 0; i < archive_.points().size(); ++i) { look_at(i); }
    std::vector<Retest> result;
    for (const auto& [candidate, wish] : wishes_) { result.push_back(wish.retest); }
    std::stable_sort(result.begin(), result.end(), [this](const Retest& a, const Retest& b) {
      return wishes_.at(a.candidate).problems < wishes_.at(b.candidate).problems;
    });
    return result;
  }

 private:
  using Outlook = Racing::Outlook;
  using Seen = Racing::Seen;

  struct Wish {
    Retest retest;
    double problems = 0;  // that decide the soonest of its comparisons
  };

  // How far `a` may be above `b`.
  double hope(const evals::Interval& difference) const {
    return difference.value + rules_.optimism * (difference.hi - difference.value);
  }

  // Is it open whether `a` is more accurate than `b`, by enough to matter? If so, with how many problems should tell;
  // else as `otherwise` has it.
  Seen seen(const Point& a, const Point& b, const evals::Interval& difference, Outlook otherwise) const {
    if (std::min(a.rounds, b.rounds) >= rules_.max_rounds) { return {0, otherwise}; }
    if (hope(difference) <= rules_.indifference) { return {0, otherwise}; }
    if (compare_accuracy(difference) != Advantage::kInconclusive) { return {0, otherwise}; }
    const double problems = problems_to_tell(a, b, difference);
    if (problems > kPatience * problems_left(a.rounds < b.rounds ? a : b)) { return {0, otherwise}; }
    return {0, Outlook::kOpen, problems};
  }

  evals::Interval difference(const Point& a, const Point& b) const {
    return evals::paired_difference(a.outcomes, b.outcomes, archive_.seed());
  }

  // That a point may still answer: a race has as many as two rounds.
  double problems_left(const Point& point) const {
    const double round = static_cast<double>(point.outcomes.problems()) / (2 + point.rounds);
    return round * (rules_.max_rounds - point.rounds);
  }

  // Of an open pair: how many further problems should tell, if their difference is what it seems. Intervals shrink with
  // the root of the problems, and have to by the caution of compare_accuracy.
  double problems_to_tell(const Point& a, const Point& b, const evals::Interval& difference) const {
    const double error = (difference.value - difference.lo) / hope(difference);
    return static_cast<double>(std::min(a.outcomes.problems(), b.outcomes.problems())) * (2 * error * error - 1);
  }

  // A point outside: could it beat this member, if the member keeps it out?
  Seen look_outside(const Point& challenger, const Point& member) const {
    if (compare_speed(challenger, member) == Advantage::kBetter) { return {}; }
    const evals::Interval apart = difference(challenger, member);
    if (compare_accuracy(apart) == Advantage::kBetter) { return {}; }
    return seen(challenger, member, apart, Outlook::kClosed);
  }

  // A member that is slower than another: is it really more accurate? The reference stays whatever the answer.
  Seen look_inside(const Point& member, const Point& faster) const {
    if (member.reference || compare_speed(faster, member) != Advantage::kBetter) { return {}; }
    return seen(member, faster, difference(member, faster), Outlook::kIndifferent);
  }

  // Does one member leave it no chance, as it did before?
  bool is_closed(size_t point) {
    Racing::Closed& closed = memory_.closed[point];
    const bool by_member = closed.point != 0 && closed.by < archive_.points().size() && archive_.is_member(closed.by);
    if (!by_member) { return false; }
    const Racing::Closed now{archive_.stamp(point), closed.by, archive_.stamp(closed.by)};
    if (closed.point == now.point && closed.stamp == now.stamp) { return true; }
    const Seen today = look_outside(archive_.points()[point], archive_.points()[closed.by]);
    if (today.outlook != Outlook::kClosed) { return false; }
    closed = now;
    return true;
  }

  void look_at(size_t point) {
    const bool inside = archive_.is_member(point);
    if (!inside && is_closed(point)) { return; }
    const Point& own = archive_.points()[point];
    Racing::Met& met = memory_.met[point];
    if (met.point != archive_.stamp(point) || met.inside != inside) { met = {archive_.stamp(point), inside, {}}; }
    std::vector<Seen> members;
    double last = 0;
    for (const size_t i : archive_.front()) {
      const uint64_t stamp = archive_.stamp(i);
      const auto known = std::find_if(met.members.begin(), met.members.end(),
                                      [&](const Seen& member) { return member.stamp == stamp; });
      const Point& member = archive_.points()[i];
      members.push_back(known != met.members.end() ? *known
                        : inside                   ? look_inside(own, member)
                                                   : look_outside(own, member));
      members.back().stamp = stamp;
      last = std::max(last, members.back().problems);
      if (members.back().outlook != Outlook::kClosed) { continue; }
      memory_.closed[point] = {archive_.stamp(point), i, stamp};
      memory_.met.erase(point);
      return;
    }
    // Who is outside enters only when all that keep it out are decided.
    for (size_t i = 0; i < members.size(); ++i) {
      if (members[i].outlook != Outlook::kOpen) { continue; }
      meet(own, archive_.points()[archive_.front()[i]], inside ? members[i].problems : last);
    }
    met.members = std::move(members);
  }

  // Both answer the first round that one of them lacks.
  void meet(const Point& a, const Point& b, double problems) {
    const int round = std::min(a.rounds, b.rounds) + 1;
    for (const Point* point : {&a, &b}) {
      if (point->rounds >= round) { continue; }
      Wish& wish = wishes_.try_emplace(point->candidate, Wish{{point->candidate, round}, problems}).first->second;
      wish.problems = std::min(wish.problems, problems);
    }
  }

  const Archive& archive_;
  RaceRules rules_;
  Racing::Memory& memory_;
  std::map<int64_t, Wish> wishes_;
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

std::vector<Retest> Racing::wanted(const Archive& archive) { return Look(archive, rules_, memory_).wanted(); }

std::vector<Retest> retests(const Archive& archive, const RaceRules& rules) { return Racing(rules).wanted(archive); }

}  // namespace vortex::study
