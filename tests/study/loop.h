#pragma once

#include <algorithm>
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
  double retest_share = 2;
  int prospect_rounds = 5;
  SequenceRules sequence;
  int speed_runs = 3;
  bool finals = true;
  bool ask_front = true;
};

struct LoopEnd {
  std::vector<Point> points;
  std::vector<size_t> front;      // arms
  std::vector<int64_t> sequence;  // of finalists, as planned
  std::vector<Claim> claims;      // of those asked, in their order; candidate = arm
  int64_t races = 0;              // answers, trials counted
  int64_t retests = 0;
  int64_t dense_retests = 0;
  int64_t held_out = 0;        // dense attention's too
  int64_t front_held_out = 0;  // of these, those of members of the front, which are asked where time is left
  int processes = 0;           // that measured speed
  int64_t answers() const { return races + retests + dense_retests + held_out; }
};

class Loop {
 public:
  Loop(const World& world, const LoopRules& rules) : world_(world), rules_(rules), archive_(world.seed()) {}

  LoopEnd run() {
    join(0, world_.answers(0, "race", 0, rules_.problems));
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
    return end_;
  }

 private:
  static size_t arm_of(const Point& point) { return static_cast<size_t>(point.candidate); }

  // The arm that answered so becomes a point.
  void join(size_t arm, std::vector<job::Outcome> outcomes) {
    outcomes_[arm] = std::move(outcomes);
    Point point;
    point.candidate = static_cast<int64_t>(arm);
    point.key = std::to_string(arm);
    point.reference = arm == 0;
    points_.push_back(std::move(point));
    take_answers(points_.back());
    if (arm > 0) { measure(arm); }
  }

  void take_answers(Point& point) {
    point.outcomes = outcomes_[arm_of(point)];
    point.outcomes.share(asked_.try_emplace(point.outcomes.size(), point.outcomes).first->second);
    point.accuracy = evals::accuracy_interval(point.outcomes, world_.seed());
  }

  void measure(size_t arm) {
    std::vector<SpeedRun>& runs = runs_[arm];
    runs.push_back(world_.process(arm, static_cast<int>(runs.size())));
    ++end_.processes;
  }

  // Rounds of 8, 16, 24, ended early where the loss is beyond doubt.
  void race(size_t arm) {
    const evals::AnswerSheet dense = outcomes_[0];
    std::vector<job::Outcome> all = world_.answers(arm, "race", 0, rules_.problems);
    for (int answered = 0; answered < rules_.problems;) {
      const int goal = std::min(rules_.problems, std::max(8, 2 * answered));
      end_.races += goal - answered;
      answered = goal;
      const evals::AnswerSheet own = std::vector(all.begin(), all.begin() + answered);
      const evals::Interval difference = evals::paired_difference(own, dense, world_.seed());
      if (rules_.prune && difference.hi < -rules_.race_margin) { return; }
    }
    join(arm, std::move(all));
  }

  void rebuild() {
    std::vector<std::vector<SpeedRun>> all;
    for (const auto& [arm, runs] : runs_) { all.push_back(runs); }
    const SpeedSpread spread = speed_spread(all);
    archive_ = Archive(world_.seed(), rules_.sequence.margin);
    for (Point& point : points_) {
      point.speed = point.reference ? exact_speed(1) : speed_of_runs(runs_[arm_of(point)], spread);
      archive_.add(point);
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
      size_t asked = 0;
      for (const Retest& one : wanted) {
        const int count = (rules_.problems + 1) / 2;
        if (static_cast<double>(end_.retests + count) > rules_.retest_share * static_cast<double>(end_.races)) {
          continue;
        }
        answer(static_cast<size_t>(one.candidate), one.round);
        if (++asked == rules_.batch) { break; }
      }
      if (asked == 0) { return; }
      rebuild();
      measure_members();
    }
  }

  void answer(size_t arm, int round) {
    const int count = (rules_.problems + 1) / 2;
    if (arm != 0 && points_.front().rounds < round) { answer(0, round); }
    Point& point = *std::find_if(points_.begin(), points_.end(), [&](const Point& one) { return arm_of(one) == arm; });
    if (point.rounds >= round) { return; }
    const std::vector<job::Outcome> more = world_.answers(arm, "retest" + std::to_string(round) + "-", 0, count);
    outcomes_[arm].insert(outcomes_[arm].end(), more.begin(), more.end());
    point.rounds = round;
    take_answers(point);
    (arm == 0 ? end_.dense_retests : end_.retests) += count;
  }

  void finals() {
    const std::vector<int64_t> sequence = best_sequence(archive_, rules_.sequence);
    const std::optional<int64_t> fallback = fallback_of(archive_, rules_.sequence, sequence);
    end_.sequence = sequence;
    std::vector<Finalist> finalists;
    std::vector<job::Outcome> dense;
    bool alive = true;
    for (const int64_t candidate : sequence) {
      if (!alive) { break; }
      finalists.push_back({candidate, {}, std::nullopt});
      alive = ask(finalists.back(), dense, rules_.sequence);
    }
    if (!alive && finalists.size() == 1 && fallback) {
      SequenceRules rules = rules_.sequence;
      ++rules.failures;
      finalists.push_back({*fallback, {}, std::nullopt});
      ask(finalists.back(), dense, rules);
    }
    const int64_t before = end_.held_out;
    if (rules_.ask_front) { ask_front(finalists, dense); }
    end_.front_held_out = end_.held_out - before;
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
      finalist.first_speed = runs.front().ratio.value;
    }
    end_.claims = judge_claims(finalists, dense, rules_.sequence, world_.seed());
  }

  // Members of the front that nobody asked, from the most accurate on, until one is not kept.
  void ask_front(std::vector<Finalist>& finalists, std::vector<job::Outcome>& dense) {
    SequenceRules rules = rules_.sequence;
    std::set<int64_t> asked;
    for (const Claim& claim : judge_claims(finalists, dense, rules, world_.seed())) {
      asked.insert(claim.candidate);
      rules.failures += claim.kept ? 0 : 1;
    }
    std::vector<std::pair<double, int64_t>> members;
    for (const size_t i : archive_.front()) {
      const Point& point = archive_.points()[i];
      const bool open = !point.reference && !asked.contains(point.candidate);
      if (open) { members.emplace_back(point.speed.ratio.value, point.candidate); }
    }
    std::sort(members.begin(), members.end());
    std::vector<int64_t> candidates;
    for (const auto& [speed, candidate] : members) { candidates.push_back(candidate); }
    for (const int64_t candidate : asked_sequence(archive_, rules_.sequence, candidates)) {
      finalists.push_back({candidate, {}, std::nullopt});
      if (!ask(finalists.back(), dense, rules)) { return; }
    }
  }

  // Is it found to keep its accuracy?
  bool ask(Finalist& finalist, std::vector<job::Outcome>& dense, const SequenceRules& rules) {
    for (const int look : evals::looks_at(rules.problems)) {
      held_out(0, look, dense);
      held_out(static_cast<size_t>(finalist.candidate), look, finalist.outcomes);
      if (is_decided(finalist, dense, rules, world_.seed())) { break; }
    }
    return judge_claims({finalist}, dense, rules, world_.seed()).front().kept;
  }

  // An arm answers held-out problems up to a number.
  void held_out(size_t arm, int goal, std::vector<job::Outcome>& answers) {
    const auto answered = static_cast<int>(answers.size());
    if (answered >= goal) { return; }
    end_.held_out += goal - answered;
    const std::vector<job::Outcome> more = world_.answers(arm, "held", answered, goal);
    answers.insert(answers.end(), more.begin(), more.end());
  }

  const World& world_;
  LoopRules rules_;
  Archive archive_;
  LoopEnd end_;
  std::vector<Point> points_;  // in order of the search; the first is dense attention
  std::map<size_t, std::vector<job::Outcome>> outcomes_;
  std::map<size_t, evals::AnswerSheet> asked_;  // the first answers of each length: others share their questions
  std::map<size_t, std::vector<SpeedRun>> runs_;
};

}  // namespace vortex::study
