#include "study/claims.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "evals/distributions.h"

namespace vortex::study {
namespace {

constexpr double kLevel = 0.025;  // of all false claims of one kind, one-sided
using evals::kSigmas;

// The fastest first; the first that is not shown to be faster ends it.
void judge_speeds(std::vector<Claim>& claims) {
  for (auto claim = claims.rbegin(); claim != claims.rend(); ++claim) {
    if (!claim->speed) { continue; }
    claim->faster = surely_faster(*claim->speed, exact_speed(1), kLevel);
    if (!claim->faster) { return; }
  }
}

// A point that may become a finalist.
struct Prospect {
  int64_t candidate = 0;
  double difference = 0;
  double log_speed = 0;
  double chance = 0;  // that held-out problems will say kept
};

// The expected logarithm of the speed that a sequence lets claim: each next one counts if all up to it are kept.
double promise(const std::vector<Prospect>& prospects, const std::vector<size_t>& sequence) {
  double sum = 0;
  double chance = 1;
  double before = 0;
  for (const size_t i : sequence) {
    chance *= prospects[i].chance;
    sum += chance * (prospects[i].log_speed - before);
    before = prospects[i].log_speed;
  }
  return sum;
}

// The best sequence of prospects (given from the most accurate to the fastest) that extends `chosen`.
void extend(const std::vector<Prospect>& prospects, size_t most, size_t from, std::vector<size_t>& chosen,
            std::vector<size_t>& best, double& best_promise) {
  const double value = promise(prospects, chosen);
  if (value > best_promise + 1e-12) {
    best_promise = value;
    best = chosen;
  }
  if (chosen.size() == most) { return; }
  for (size_t i = from; i < prospects.size(); ++i) {
    chosen.push_back(i);
    extend(prospects, most, i + 1, chosen, best, best_promise);
    chosen.pop_back();
  }
}

// What is expected of the points of each group.
std::vector<Expected> expected_of_groups(const Archive::Groups& groups) {
  std::vector<Expected> all;
  std::vector<double> weight;
  for (const evals::Interval& difference : groups.differences) {
    all.push_back({0, difference, (difference.hi - difference.lo) / (2 * kSigmas)});
    weight.push_back(1 / (all.back().error * all.back().error));
  }
  // The mean and the true spread of all candidates, each weighted by what is known of it (DerSimonian and Laird 1986).
  double weights = 0;
  double squares = 0;
  double mean = 0;
  double points = 0;
  for (const int group : groups.of_point) {
    if (group < 0) { continue; }
    const auto g = static_cast<size_t>(group);
    points += 1;
    weights += weight[g];
    squares += weight[g] * weight[g];
    mean += weight[g] * all[g].difference.value;
  }
  mean /= weights;
  std::vector<double> part;
  for (const Expected& one : all) { part.push_back(std::pow((one.difference.value - mean) / one.error, 2)); }
  double heterogeneity = 0;
  for (const int group : groups.of_point) { heterogeneity += group < 0 ? 0 : part[static_cast<size_t>(group)]; }
  const double spare = heterogeneity - (points - 1);
  const double spread = points < 2 ? HUGE_VAL : std::max(0.0, spare / (weights - squares / weights));
  if (!std::isfinite(spread)) { return all; }
  for (size_t g = 0; g < all.size(); ++g) { weight[g] = 1 / (all[g].error * all[g].error + spread); }
  for (size_t g = 0; g < all.size(); ++g) {
    part[g] = all[g].difference.value / (all[g].error * all[g].error + spread);
  }
  double total = 0;
  double centre = 0;
  for (const int group : groups.of_point) {
    if (group < 0) { continue; }
    total += weight[static_cast<size_t>(group)];
    centre += part[static_cast<size_t>(group)];
  }
  centre /= total;
  for (Expected& one : all) {
    const double own = one.error * one.error;
    const double share = spread / (spread + own);
    const double value = centre + share * (one.difference.value - centre);
    one.error = std::sqrt(share * own + (1 - share) * (1 - share) / total);
    one.difference = {value, std::max(-1.0, value - kSigmas * one.error), std::min(1.0, value + kSigmas * one.error)};
  }
  return all;
}

// The fastest point of every group, the first of several, in order of points; -1 where it has none that may be asked.
std::vector<int> fastest_of_groups(const Archive& archive, const std::set<int64_t>* asked) {
  const Archive::Groups& groups = archive.groups();
  std::vector<int> fastest(groups.differences.size(), -1);
  for (size_t i = 0; i < groups.of_point.size(); ++i) {
    const Point& point = archive.points()[i];
    if (groups.of_point[i] < 0 || (asked != nullptr && !asked->contains(point.candidate))) { continue; }
    int& best = fastest[static_cast<size_t>(groups.of_point[i])];
    const double speed = point.speed.ratio.value;
    const double than = best < 0 ? 0 : archive.points()[static_cast<size_t>(best)].speed.ratio.value;
    // By the logarithm, which is what is compared: it can be the same of two speeds.
    if (best < 0 || (speed > than && std::log(speed) > std::log(than))) { best = static_cast<int>(i); }
  }
  return fastest;
}

}  // namespace

evals::AnswerSheet shared_with(const evals::AnswerSheet& answers, const evals::AnswerSheet& other) {
  if (answers.shares(other)) { return answers; }
  std::set<std::pair<std::string_view, int>> known;
  for (size_t i = 0; i < other.size(); ++i) { known.emplace(other.question(i).problem, other.question(i).trial); }
  std::vector<evals::AnswerSheet::Given> shared;
  for (size_t i = 0; i < answers.size(); ++i) {
    const evals::AnswerSheet::Question& question = answers.question(i);
    if (!known.contains({question.problem, question.trial})) { continue; }
    shared.push_back({question.problem, question.trial, answers.right(i)});
  }
  return evals::AnswerSheet(shared);
}

std::vector<Claim> judge_claims(const std::vector<Finalist>& sequence, const std::vector<job::Outcome>& dense,
                                const SequenceRules& rules, uint64_t seed) {
  std::vector<Claim> claims;
  bool open = true;
  for (const Finalist& finalist : sequence) {
    Claim claim;
    claim.candidate = finalist.candidate;
    const evals::AnswerSheet of_dense = shared_with(dense, finalist.outcomes);
    const evals::AnswerSheet own = shared_with(finalist.outcomes, dense);
    claim.problems = static_cast<int>(own.problems());
    claim.accuracy = evals::accuracy_interval(own, seed);
    claim.dense_accuracy = evals::accuracy_interval(of_dense, seed);
    const double sigmas = evals::look_sigmas(claim.problems, rules.problems);
    const evals::Interval decides = evals::paired_difference(own, of_dense, seed, sigmas);
    claim.keeping = evals::judge_keeping(decides, rules.margin);
    // That interval pays for looks that were not taken. Where it decided nothing the narrow one must not seem to.
    claim.difference = evals::paired_difference(own, of_dense, seed, evals::last_look_sigmas(rules.problems));
    if (evals::judge_keeping(claim.difference, rules.margin) != claim.keeping) { claim.difference = decides; }
    open = open && claim.keeping == evals::Keeping::kKept;
    claim.kept = open;
    claim.speed = finalist.speed;
    claims.push_back(std::move(claim));
  }
  judge_speeds(claims);
  return claims;
}

const Claim* headline_of(const std::vector<Claim>& claims) {
  const Claim* best = nullptr;
  for (const Claim& claim : claims) {
    if (!claim.kept || !claim.faster) { continue; }
    if (best == nullptr || claim.speed->ratio.value > best->speed->ratio.value) { best = &claim; }
  }
  return best;
}

std::vector<Expected> expected_differences(const Archive& archive) {
  if (archive.reference() == nullptr) { return {}; }
  const Archive::Groups& groups = archive.groups();
  const std::vector<Expected> of_groups = expected_of_groups(groups);
  std::vector<Expected> all;
  for (size_t i = 0; i < groups.of_point.size(); ++i) {
    if (groups.of_point[i] < 0) { continue; }
    all.push_back(of_groups[static_cast<size_t>(groups.of_point[i])]);
    all.back().candidate = archive.points()[i].candidate;
  }
  return all;
}

// Of points that differ from dense attention by the same interval only the fastest can be in a sequence: the others
// promise less, however they are ordered.
std::vector<int64_t> best_sequence(const Archive& archive, const SequenceRules& rules, const std::set<int64_t>* asked) {
  const Point* dense = archive.reference();
  if (dense == nullptr) { return {}; }
  const std::vector<Expected> expected = expected_of_groups(archive.groups());
  std::vector<std::pair<int, size_t>> order;  // point, group
  const std::vector<int> fastest = fastest_of_groups(archive, asked);
  for (size_t group = 0; group < fastest.size(); ++group) {
    if (fastest[group] >= 0) { order.emplace_back(fastest[group], group); }
  }
  std::sort(order.begin(), order.end());
  const double accuracy = dense->accuracy.value;
  std::vector<Prospect> prospects;
  for (const auto& [place, group] : order) {
    const Point& point = archive.points()[static_cast<size_t>(place)];
    const Expected& one = expected[group];
    Prospect prospect{point.candidate, one.difference.value + rules.hope * one.error, std::log(point.speed.ratio.value),
                      0};
    if (prospect.log_speed <= 0) { continue; }
    // What held-out problems will leave open of a difference, and how far its value may then lie from the truth.
    const double apart = std::max(0.02, std::abs(prospect.difference)) + evals::expected_discordance(accuracy).alike;
    const double later = std::sqrt(apart / rules.problems);
    const double wanted = -rules.margin + kSigmas * later;
    prospect.chance = 1 - evals::normal_cdf((wanted - prospect.difference) / std::hypot(later, one.error));
    prospects.push_back(prospect);
  }
  std::stable_sort(prospects.begin(), prospects.end(), [](const Prospect& a, const Prospect& b) {
    return std::pair(a.difference, a.log_speed) > std::pair(b.difference, b.log_speed);
  });
  std::vector<Prospect> staircase;
  for (const Prospect& prospect : prospects) {
    if (staircase.empty() || prospect.log_speed > staircase.back().log_speed) { staircase.push_back(prospect); }
  }
  // Those that will hardly be kept only make the search for the best sequence longer.
  constexpr double kHopeless = 0.02;
  std::erase_if(staircase, [](const Prospect& prospect) { return prospect.chance < kHopeless; });
  std::vector<size_t> chosen;
  std::vector<size_t> best;
  double best_promise = 0;
  extend(staircase, rules.most, 0, chosen, best, best_promise);
  std::vector<int64_t> sequence;
  for (const size_t i : best) { sequence.push_back(staircase[i].candidate); }
  return sequence;
}

}  // namespace vortex::study
