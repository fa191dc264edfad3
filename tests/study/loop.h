#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "study/claims.h"
#include "study/racing.h"
#include "tests/study/world.h"

namespace vortex::study {

// The loop of a search without proposers, workers and rows: what the product decides, with its defaults.
struct LoopRules {
  int problems = 24;
  size_t batch = 4;
  double race_margin = 0.25;
  bool prune = true;
  RaceRules race;
  double retest_share = 1;
  int prospect_rounds = 2;
  SequenceRules sequence;
  int first_held_out = 48;  // then as many again, and so on
  int speed_runs = 3;
  bool finals = true;
};

struct LoopEnd {
  std::vector<Point> points;
  std::vector<size_t> front;      // arms
  std::vector<size_t> undecided;  // arms
  std::vector<Claim> claims;      // candidate = arm
  int64_t races = 0;              // answers, trials counted
  int64_t retests = 0;
  int64_t dense_retests = 0;
  int64_t held_out = 0;  // dense attention's too
  int processes = 0;     // that measured speed
  int64_t answers() const { return races + retests + dense_retests + held_out; }
};

class Loop {
 public:
  Loop(const World& world, const LoopRules& rules) : world_(world), rules_(rules), archive_(world.seed()) {}

  LoopEnd run() {
    join(0);
    end_.races += rules_.problems;
    for (size_t first = 1; first < world_.size(); first += rules_.batch) {
      for (size_t arm = first; arm < std::min(world_.size(), first + rules_.batch); ++arm) { race(arm); }
      rebuild();
      measure_members();
      retest();
    }
    if (rules_.finals) { finals(); }
    end_.points = archive_.points();
    for (const size_t i : archive_.front()) { end_.front.push_back(arm_of(archive_.points()[i])); }
    for (const auto& open : archive_.undecided()) { end_.undecided.push_back(arm_of(archive_.points()[open.point])); }
    return end_;
  }

 private:
  static size_t arm_of(const Point& point) { return static_cast<size_t>(point.candidate); }

  void join(size_t arm) {
    outcomes_[arm] = world_.answers(arm, "race", 0, rules_.problems);
    order_.push_back(arm);
    if (arm > 0) { measure(arm); }
    rebuild();
  }

  void measure(size_t arm) {
    std::vector<SpeedRun>& runs = runs_[arm];
    runs.push_back(world_.process(arm, static_cast<int>(runs.size())));
    ++end_.processes;
  }

  // Rounds of 8, 16, 24, ended early where the loss is beyond doubt.
  void race(size_t arm) {
    const std::vector<job::Outcome>& dense = outcomes_[0];
    for (int answered = 0; answered < rules_.problems;) {
      const int goal = std::min(rules_.problems, std::max(8, 2 * answered));
      end_.races += goal - answered;
      answered = goal;
      const evals::Interval difference =
          evals::paired_difference(world_.answers(arm, "race", 0, answered), dense, world_.seed());
      if (rules_.prune && difference.hi < -rules_.race_margin) { return; }
    }
    join(arm);
  }

  void rebuild() {
    std::vector<std::vector<SpeedRun>> all;
    for (const auto& [arm, runs] : runs_) { all.push_back(runs); }
    const SpeedSpread spread = speed_spread(all);
    archive_ = Archive(world_.seed(), rules_.sequence.margin);
    for (const size_t arm : order_) {
      Point point;
      point.candidate = static_cast<int64_t>(arm);
      point.key = std::to_string(arm);
      point.reference = arm == 0;
      point.outcomes = outcomes_[arm];
      point.accuracy = evals::accuracy_interval(point.outcomes, world_.seed());
      point.speed = arm == 0 ? exact_speed(1) : speed_of_runs(runs_[arm], spread);
      point.rounds = rounds_[arm];
      archive_.add(std::move(point));
    }
  }

  void measure_members() {
    for (bool more = true; more;) {
      more = false;
      std::set<size_t> members;
      for (const size_t i : archive_.front()) { members.insert(arm_of(archive_.points()[i])); }
      for (const size_t arm : members) {
        if (arm == 0 || runs_[arm].size() >= static_cast<size_t>(rules_.speed_runs)) { continue; }
        while (runs_[arm].size() < static_cast<size_t>(rules_.speed_runs)) { measure(arm); }
        more = true;
      }
      if (more) { rebuild(); }
    }
  }

  void retest() {
    for (;;) {
      std::vector<Retest> wanted = retests_of_prospects(archive_, rules_.sequence, rules_.prospect_rounds);
      if (wanted.empty()) { wanted = retests(archive_, rules_.race); }
      bool any = false;
      for (const Retest& one : wanted) {
        const int count = rules_.problems << (one.round - 1);
        if (static_cast<double>(end_.retests + count) > rules_.retest_share * static_cast<double>(end_.races)) {
          continue;
        }
        answer(static_cast<size_t>(one.candidate), one.round);
        any = true;
      }
      if (!any) { return; }
      rebuild();
      measure_members();
    }
  }

  void answer(size_t arm, int round) {
    const int count = rules_.problems << (round - 1);
    if (arm != 0 && rounds_[0] < round) { answer(0, round); }
    if (rounds_[arm] >= round) { return; }
    const std::vector<job::Outcome> more = world_.answers(arm, "retest" + std::to_string(round) + "-", 0, count);
    outcomes_[arm].insert(outcomes_[arm].end(), more.begin(), more.end());
    rounds_[arm] = round;
    (arm == 0 ? end_.dense_retests : end_.retests) += count;
  }

  void finals() {
    const std::vector<int64_t> sequence = best_sequence(archive_, rules_.sequence);
    std::vector<Finalist> finalists;
    int of_dense = 0;
    bool alive = true;
    for (const int64_t candidate : sequence) {
      const auto arm = static_cast<size_t>(candidate);
      Finalist finalist{candidate, {}, std::nullopt};
      finalists.push_back(finalist);
      for (int answered = 0; alive && answered < rules_.sequence.problems;) {
        const int goal = std::min(rules_.sequence.problems, std::max(rules_.first_held_out, 2 * answered));
        end_.held_out += goal - answered + std::max(0, goal - of_dense);
        of_dense = std::max(of_dense, goal);
        finalists.back().outcomes = world_.answers(arm, "held", 0, goal);
        answered = goal;
        const std::vector<job::Outcome> dense = world_.answers(0, "held", 0, of_dense);
        const Claim claim = judge_claims({finalists.back()}, dense, rules_.sequence, world_.seed()).front();
        if (claim.keeping != evals::Keeping::kCannotSay) { break; }
        const evals::Interval difference = evals::paired_difference(finalists.back().outcomes, dense, world_.seed());
        if (evals::chance_left(difference, answered, rules_.sequence.problems, rules_.sequence.margin) <
            kHopelessChance) {
          break;
        }
      }
      alive =
          judge_claims(finalists, world_.answers(0, "held", 0, of_dense), rules_.sequence, world_.seed()).back().kept;
    }
    std::vector<std::vector<SpeedRun>> all;
    for (Finalist& finalist : finalists) {
      const auto arm = static_cast<size_t>(finalist.candidate);
      while (runs_[arm].size() < static_cast<size_t>(rules_.speed_runs)) { measure(arm); }
    }
    for (const auto& [arm, runs] : runs_) { all.push_back(runs); }
    const SpeedSpread spread = speed_spread(all);
    for (Finalist& finalist : finalists) {
      const std::vector<SpeedRun>& runs = runs_[static_cast<size_t>(finalist.candidate)];
      finalist.speed = speed_of_runs({runs.begin() + 1, runs.end()}, spread);
    }
    end_.claims = judge_claims(finalists, world_.answers(0, "held", 0, of_dense), rules_.sequence, world_.seed());
  }

  const World& world_;
  LoopRules rules_;
  Archive archive_;
  LoopEnd end_;
  std::vector<size_t> order_;
  std::map<size_t, std::vector<job::Outcome>> outcomes_;
  std::map<size_t, std::vector<SpeedRun>> runs_;
  std::map<size_t, int> rounds_;
};

}  // namespace vortex::study
