#include "study/claims.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

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
    const double sigmas = evals::look_sigmas(static_cast<double>(claim.problems) / rules.problems);
    claim.difference = evals::paired_difference(own, of_dense, seed, sigmas);
    claim.keeping = evals::judge_keeping(claim.difference, rules.margin);
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
  const Point* dense = archive.reference();
  if (dense == nullptr) { return {}; }
  std::vector<Expected> all;
  for (const Point& point : archive.points()) {
    if (point.reference) { continue; }
    Expected expected{point.candidate, evals::paired_difference(point.outcomes, dense->outcomes, archive.seed()), 0};
    expected.error = (expected.difference.hi - expected.difference.lo) / (2 * kSigmas);
    all.push_back(expected);
  }
  // The mean and the true spread of all candidates, each weighted by what is known of it (DerSimonian and Laird 1986).
  double weights = 0;
  double squares = 0;
  double mean = 0;
  for (const Expected& one : all) {
    const double weight = 1 / (one.error * one.error);
    weights += weight;
    squares += weight * weight;
    mean += weight * one.difference.value;
  }
  mean /= weights;
  double heterogeneity = 0;
  for (const Expected& one : all) { heterogeneity += std::pow((one.difference.value - mean) / one.error, 2); }
  const double spare = heterogeneity - (static_cast<double>(all.size()) - 1);
  const double spread = all.size() < 2 ? HUGE_VAL : std::max(0.0, spare / (weights - squares / weights));
  if (!std::isfinite(spread)) { return all; }
  double total = 0;
  double centre = 0;
  for (const Expected& one : all) {
    total += 1 / (one.error * one.error + spread);
    centre += one.difference.value / (one.error * one.error + spread);
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

std::vector<int64_t> best_sequence(const Archive& archive, const SequenceRules& rules, const std::set<int64_t>* asked) {
  const std::vector<Expected> expected = expected_differences(archive);
  const Point* dense = archive.reference();
  if (dense == nullptr) { return {}; }
  const double accuracy = dense->accuracy.value;
  std::vector<Prospect> prospects;
  for (const Expected& one : expected) {
    Prospect prospect{one.candidate, one.difference.value + rules.hope * one.error,
                      std::log(archive.find(one.candidate)->speed.ratio.value), 0};
    if (prospect.log_speed <= 0 || (asked != nullptr && !asked->contains(one.candidate))) { continue; }
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
