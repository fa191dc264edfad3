#include "study/claims.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "evals/distributions.h"

namespace vortex::study {
namespace {

constexpr double kLevel = 0.025;  // of all false claims of one kind, one-sided
using evals::kSigmas;

// The fastest first, of equal ones the last; the first that is not shown to be faster ends it.
void judge_speeds(const std::vector<Finalist>& sequence, std::vector<Claim>& claims) {
  std::vector<size_t> order;
  for (size_t i = claims.size(); i > 0; --i) {
    if (claims[i - 1].kept && claims[i - 1].speed) { order.push_back(i - 1); }
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sequence[a].first_speed > sequence[b].first_speed; });
  for (const size_t i : order) {
    claims[i].faster = surely_faster(*claims[i].speed, exact_speed(1), kLevel);
    if (!claims[i].faster) { return; }
  }
}

// A point that may become a finalist.
struct Prospect {
  int64_t candidate = 0;
  double difference = 0;
  double log_speed = 0;
  double chance = 0;  // that held-out problems will say kept
};

// What it is worth that anything can be claimed, as a logarithm of speed: with a sure small gain first, a bold one that
// fails does not leave a night without a policy to deploy.
const double kAnyClaim = std::log(1.2);

// The expected worth of what a sequence lets claim: each next one counts if all up to it are kept.
double promise(const std::vector<Prospect>& prospects, const std::vector<size_t>& sequence) {
  double sum = 0;
  double chance = 1;
  double before = -kAnyClaim;
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

// Of each group, the squared error of a point's own and of dense attention's luck, which all differences share. Their
// shares are those of the variance p(1-p) of an answer. What one answer varies by is itself only estimated, and too low
// where luck was good: the fewer problems, the more it is drawn towards what it is on average.
struct Errors {
  std::vector<double> own;
  std::vector<double> common;
};
Errors errors_of_groups(const Archive& archive) {
  constexpr double kAverage = 24;  // problems, that the average counts as
  const auto variance = [](double p) {
    const double inside = std::clamp(p, 0.02, 0.98);
    return inside * (1 - inside);
  };
  const Archive::Groups& groups = archive.groups();
  const double dense = archive.reference()->accuracy.value;
  std::vector<double> problems(groups.differences.size(), 1);
  Errors errors;
  std::vector<double> of_one;  // answer
  for (size_t i = 0; i < groups.of_point.size(); ++i) {
    if (groups.of_point[i] < 0) { continue; }
    problems[static_cast<size_t>(groups.of_point[i])] =
        std::max(1.0, static_cast<double>(archive.points()[i].outcomes.problems()));
  }
  for (size_t g = 0; g < groups.differences.size(); ++g) {
    const evals::Interval& difference = groups.differences[g];
    const double error = std::pow((difference.hi - difference.lo) / (2 * kSigmas), 2);
    const double mine = variance(dense + difference.value);
    errors.own.push_back(error * mine / (mine + variance(dense)));
    errors.common.push_back(error - errors.own.back());
    of_one.push_back(errors.own.back() * problems[g]);
  }
  double average = 0;
  double points = 0;
  for (const int group : groups.of_point) {
    average += group < 0 ? 0 : of_one[static_cast<size_t>(group)];
    points += group < 0 ? 0 : 1;
  }
  average /= points;
  for (size_t g = 0; g < of_one.size(); ++g) {
    errors.own[g] = (of_one[g] * problems[g] + average * kAverage) / (problems[g] + kAverage) / problems[g];
  }
  return errors;
}

// What groups' differences are in proportion to, before their own answers are looked at.
struct Shapes {
  bool of_surprise = false;  // by how much right answers surprise, where all points were asked; else all are alike
  std::vector<double> values;
};
Shapes shapes_of_groups(const Archive::Groups& groups) {
  constexpr double kLeast = 1e-6;
  for (const int group : groups.of_point) {
    if (group >= 0 && groups.promises[static_cast<size_t>(group)] <= 0) {
      return {false, std::vector<double>(groups.promises.size(), 1.0)};
    }
  }
  Shapes shapes{true, {}};
  for (const double promise : groups.promises) {
    shapes.values.push_back(std::max(kLeast, surprise_of_promise(promise)));
  }
  return shapes;
}

// What is expected of the points of each group: drawn towards the centre of all, or towards a line through dense
// attention along which answers are lost with surprise (Fay and Herriot 1979). No surprise makes answers better.
std::vector<Expected> expected_of_groups(const Archive& archive) {
  const Archive::Groups& groups = archive.groups();
  std::vector<Expected> all;
  for (const evals::Interval& difference : groups.differences) {
    all.push_back({0, difference, (difference.hi - difference.lo) / (2 * kSigmas)});
  }
  const auto sum = [&](const auto& value) {  // over the points
    double total = 0;
    for (const int group : groups.of_point) { total += group < 0 ? 0 : value(static_cast<size_t>(group)); }
    return total;
  };
  const double points = sum([](size_t) { return 1.0; });
  if (points < 2) { return all; }
  const Errors errors = errors_of_groups(archive);
  const auto [of_surprise, shapes] = shapes_of_groups(groups);
  const auto sensible = [by = of_surprise](double slope) { return by ? std::min(0.0, slope) : slope; };
  const double mean = sensible(sum([&](size_t g) { return shapes[g] * all[g].difference.value; }) /
                               sum([&](size_t g) { return shapes[g] * shapes[g]; }));
  const double apart =
      sum([&](size_t g) { return std::pow(all[g].difference.value - mean * shapes[g], 2); }) / (points - 1);
  const double spread = std::max(0.0, apart - sum([&](size_t g) { return errors.own[g]; }) / points);
  const double weights = sum([&](size_t g) { return shapes[g] * shapes[g] / (errors.own[g] + spread); });
  const double slope =
      sensible(sum([&](size_t g) { return shapes[g] * all[g].difference.value / (errors.own[g] + spread); }) / weights);
  for (size_t g = 0; g < all.size(); ++g) {
    const double centre = slope * shapes[g];
    const double share = spread / (spread + errors.own[g]);
    const double value = centre + share * (all[g].difference.value - centre);
    const double of_centre = (1 - share) * shapes[g];
    all[g].error = std::sqrt(share * errors.own[g] + of_centre * of_centre / weights + errors.common[g]);
    all[g].difference = {value, std::max(-1.0, value - kSigmas * all[g].error),
                         std::min(1.0, value + kSigmas * all[g].error)};
  }
  return all;
}

bool is_surprised(const Point& point, double least_promise) {
  return point.promise > 0 && point.promise < least_promise;
}

// The fastest point of every group, the first of several, in order of points; -1 where it has none.
std::vector<int> fastest_of_groups(const Archive& archive, double least_promise, const std::set<int64_t>& without) {
  const Archive::Groups& groups = archive.groups();
  std::vector<int> fastest(groups.differences.size(), -1);
  for (size_t i = 0; i < groups.of_point.size(); ++i) {
    const Point& point = archive.points()[i];
    const bool is_out = is_surprised(point, least_promise) || without.contains(point.candidate);
    if (groups.of_point[i] < 0 || is_out) { continue; }
    int& best = fastest[static_cast<size_t>(groups.of_point[i])];
    const double speed = point.speed.ratio.value;
    const double than = best < 0 ? 0 : archive.points()[static_cast<size_t>(best)].speed.ratio.value;
    // By the logarithm, which is what is compared: it can be the same of two speeds.
    if (best < 0 || (speed > than && std::log(speed) > std::log(than))) { best = static_cast<int>(i); }
  }
  return fastest;
}

// Those that will hardly be kept only make the search for the best sequence longer.
constexpr double kHopeless = 0.02;

// A point as a finalist, by what is expected of its difference to dense attention.
Prospect prospect_of(const Point& point, const Expected& expected, double dense_accuracy, const SequenceRules& rules) {
  Prospect prospect{point.candidate, expected.difference.value + rules.hope * expected.error,
                    std::log(point.speed.ratio.value), 0};
  // What held-out problems will leave open of a difference, and how far its value may then lie from the truth.
  const double apart =
      std::max(0.02, std::abs(prospect.difference)) + evals::expected_discordance(dense_accuracy).alike;
  const double later = std::sqrt(apart / rules.problems);
  const double wanted = -rules.margin + claim_width(rules.failures) * kSigmas * later;
  prospect.chance = 1 - evals::normal_cdf((wanted - prospect.difference) / std::hypot(later, expected.error));
  return prospect;
}

// Of points that differ from dense attention by the same interval only the fastest can be in a sequence: the others
// promise less, however they are ordered.
std::vector<int64_t> best_of_promising(const Archive& archive, const SequenceRules& rules,
                                       const std::set<int64_t>& without) {
  const Point* dense = archive.reference();
  if (dense == nullptr) { return {}; }
  const std::vector<Expected> expected = expected_of_groups(archive);
  std::vector<std::pair<int, size_t>> order;  // point, group
  const std::vector<int> fastest = fastest_of_groups(archive, rules.least_promise, without);
  for (size_t group = 0; group < fastest.size(); ++group) {
    if (fastest[group] >= 0) { order.emplace_back(fastest[group], group); }
  }
  std::sort(order.begin(), order.end());
  std::vector<Prospect> prospects;
  for (const auto& [place, group] : order) {
    const Point& point = archive.points()[static_cast<size_t>(place)];
    if (std::log(point.speed.ratio.value) <= 0) { continue; }
    prospects.push_back(prospect_of(point, expected[group], dense->accuracy.value, rules));
  }
  std::stable_sort(prospects.begin(), prospects.end(), [](const Prospect& a, const Prospect& b) {
    return std::pair(a.difference, a.log_speed) > std::pair(b.difference, b.log_speed);
  });
  std::vector<Prospect> staircase;
  for (const Prospect& prospect : prospects) {
    if (staircase.empty() || prospect.log_speed > staircase.back().log_speed) { staircase.push_back(prospect); }
  }
  std::erase_if(staircase, [](const Prospect& prospect) { return prospect.chance < kHopeless; });
  std::vector<size_t> chosen;
  std::vector<size_t> best;
  double best_promise = 0;
  extend(staircase, rules.most, 0, chosen, best, best_promise);
  std::vector<int64_t> sequence;
  for (const size_t i : best) { sequence.push_back(staircase[i].candidate); }
  return sequence;
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
  int failures = rules.failures;
  for (const Finalist& finalist : sequence) {
    Claim claim;
    claim.candidate = finalist.candidate;
    const evals::AnswerSheet of_dense = shared_with(dense, finalist.outcomes);
    const evals::AnswerSheet own = shared_with(finalist.outcomes, dense);
    claim.problems = static_cast<int>(own.problems());
    claim.accuracy = evals::accuracy_interval(own, seed);
    claim.dense_accuracy = evals::accuracy_interval(of_dense, seed);
    const double sigmas = claim_width(failures) * evals::look_sigmas(claim.problems, rules.problems);
    const evals::Interval decides = evals::paired_difference(own, of_dense, seed, sigmas);
    claim.keeping = evals::judge_keeping(decides, rules.margin);
    // That interval pays for looks that were not taken. Where it decided nothing the narrow one must not seem to.
    claim.difference = evals::paired_difference(own, of_dense, seed, evals::last_look_sigmas(rules.problems));
    if (evals::judge_keeping(claim.difference, rules.margin) != claim.keeping) { claim.difference = decides; }
    claim.kept = claim.keeping == evals::Keeping::kKept;
    failures += claim.problems > 0 && !claim.kept ? 1 : 0;
    claim.speed = finalist.speed;
    claims.push_back(std::move(claim));
  }
  judge_speeds(sequence, claims);
  return claims;
}

bool is_decided(const Finalist& finalist, const std::vector<job::Outcome>& dense, const SequenceRules& rules,
                uint64_t seed) {
  const Claim claim = judge_claims({finalist}, dense, rules, seed).front();
  if (claim.keeping != evals::Keeping::kCannotSay) { return true; }
  const evals::Interval today = evals::paired_difference(finalist.outcomes, dense, seed);
  const double width = claim_width(rules.failures);
  return evals::chance_left(today, claim.problems, rules.problems, rules.margin, width) < kHopelessChance;
}

Finalist until_decided(Finalist finalist, const std::vector<job::Outcome>& dense, const SequenceRules& rules,
                       uint64_t seed) {
  if (dense.empty()) { return finalist; }
  Finalist seen{finalist.candidate, {}, finalist.speed, finalist.first_speed, {}};
  for (const size_t look : finalist.looks) {
    seen.outcomes.assign(finalist.outcomes.begin(), finalist.outcomes.begin() + static_cast<std::ptrdiff_t>(look));
    seen.looks.push_back(look);
    if (is_decided(seen, dense, rules, seed)) { return seen; }
  }
  return finalist;
}

const Claim* headline_of(const std::vector<Claim>& claims) {
  const Claim* best = nullptr;
  for (const Claim& claim : claims) {
    if (!claim.kept || !claim.faster) { continue; }
    if (best == nullptr || claim.speed->ratio.value > best->speed->ratio.value) { best = &claim; }
  }
  return best;
}

std::vector<Expected> expected_differences(const Archive& archive, const std::vector<int64_t>& candidates) {
  if (archive.reference() == nullptr) { return {}; }
  const Archive::Groups& groups = archive.groups();
  const std::vector<Expected> of_groups = expected_of_groups(archive);
  std::vector<Expected> all;
  for (const int64_t candidate : candidates) {
    const Point* point = archive.find(candidate);
    if (point == nullptr || point->reference) { continue; }
    const int group = groups.of_point[static_cast<size_t>(point - archive.points().data())];
    all.push_back(of_groups[static_cast<size_t>(group)]);
    all.back().candidate = candidate;
  }
  return all;
}

std::vector<int64_t> best_sequence(const Archive& archive, const SequenceRules& rules,
                                   const std::set<int64_t>& without) {
  std::vector<int64_t> best = best_of_promising(archive, rules, without);
  const bool all_count = std::none_of(archive.points().begin(), archive.points().end(),
                                      [&](const Point& point) { return is_surprised(point, rules.least_promise); });
  if (!best.empty() || all_count) { return best; }
  SequenceRules all = rules;
  all.least_promise = 0;
  return best_of_promising(archive, all, without);
}

std::optional<int64_t> fallback_of(const Archive& archive, const SequenceRules& rules,
                                   const std::vector<int64_t>& sequence) {
  SequenceRules one = rules;
  one.most = 1;
  ++one.failures;
  const std::vector<int64_t> best = best_sequence(archive, one, {sequence.begin(), sequence.end()});
  return best.empty() ? std::nullopt : std::optional(best.front());
}

std::vector<int64_t> asked_sequence(const Archive& archive, const SequenceRules& rules,
                                    const std::vector<int64_t>& asked) {
  const Point* dense = archive.reference();
  if (dense == nullptr) { return {}; }
  std::vector<int64_t> sequence;
  for (const Expected& expected : expected_differences(archive, asked)) {
    const Prospect prospect = prospect_of(*archive.find(expected.candidate), expected, dense->accuracy.value, rules);
    if (prospect.log_speed > 0 && prospect.chance >= kHopeless) { sequence.push_back(expected.candidate); }
  }
  return sequence;
}

}  // namespace vortex::study
