// Can what a search claims be believed, and does selection earn its cost? Searches at the product's defaults in worlds
// whose truth is known: what is claimed falsely, what is found, what intervals cover, what racing saves. Asserts
// nothing; writes JSON to stdout.
// usage: selection_bench [worlds] [first seed] [the only scenario, by its name; "none": none of them]

#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "tests/study/calibration.h"
#include "tests/study/planted.h"

namespace vortex::study {
namespace {

nlohmann::json to_json(const Tally& tally) {
  nlohmann::json missed;
  for (size_t i = 0; i < tally.missed.size(); ++i) { missed[kMissedNames[i]] = tally.missed[i]; }
  return {{"worlds", tally.worlds},
          {"headlines", tally.headlines},
          {"headlines_that_lose_more_than_the_margin", tally.headlines_that_lose},
          {"worlds_with_a_false_kept", tally.worlds_falsely_kept},
          {"headlines_no_faster_than_dense", tally.not_faster},
          {"worlds_worth_finding", tally.worth_finding},
          {"worlds_that_found", tally.found},
          {"missed", missed},
          {"finalists_asked", tally.asked},
          {"differences_covered", tally.differences_covered},
          {"headline_speeds_covered", tally.speeds_covered},
          {"fronts_of_one", tally.fronts_of_one},
          {"mean_loss_of_headlines", tally.headlines > 0 ? tally.loss / tally.headlines : 0.0},
          {"answers_a_world", tally.answers / tally.worlds},
          {"front_answers_a_world", tally.front_answers / tally.worlds}};
}

struct Scenario {
  const char* name;
  Law law;
  int candidates;
  WorldLaw measuring;
};

nlohmann::json claims(int worlds, uint64_t seed, const std::string& only) {
  const std::vector<Scenario> scenarios = {
      {"all lose the margin", Law::kAtMargin, 20, {}},
      {"all lose the margin, answers alike", Law::kAtMargin, 20, {.alike = 0.9}},
      {"best of 10", Law::kBestOf, 10, {}},
      {"best of 10, answers alike", Law::kBestOf, 10, {.alike = 0.9}},
      {"best of 50", Law::kBestOf, 50, {}},
      {"best of 50, answers alike", Law::kBestOf, 50, {.alike = 0.9}},
      {"best of 200", Law::kBestOf, 200, {}},
      {"ties at 1.0", Law::kTies, 10, {}},
      {"ties at 1.0, answers alike, 50", Law::kTies, 50, {.alike = 0.9}},
      {"losses of 1 to 3 points", Law::kSmall, 20, {}},
      {"200 copies of dense attention", Law::kCopies, 200, {.alike = 0.9}},
      {"200 copies, 3 % shared", Law::kCopies, 200, {.alike = 0.9, .process_error = 0.03}},
      {"200 copies, 10 % shared", Law::kCopies, 200, {.alike = 0.9, .process_error = 0.1}},
      {"best of 20, 3 % shared", Law::kBestOf, 20, {.process_error = 0.03}},
      {"best of 20, 10 % shared", Law::kBestOf, 20, {.process_error = 0.1}},
      {"one of 20 loses nothing and is 1.2 times as fast", Law::kPlanted, 20, {}},
      {"the same, answers alike", Law::kPlanted, 20, {.alike = 0.9}},
  };
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < scenarios.size(); ++i) {
    const Scenario& scenario = scenarios[i];
    if (!only.empty() && only != scenario.name) { continue; }
    nlohmann::json row =
        to_json(search_worlds(scenario.law, scenario.candidates, scenario.measuring, worlds, seed + 10'000 * i));
    row["scenario"] = scenario.name;
    row["candidates"] = scenario.candidates;
    rows.push_back(std::move(row));
  }
  return rows;
}

nlohmann::json racing(int worlds, uint64_t seed, int problems, double share) {
  LoopRules rules;
  rules.finals = false;
  rules.prune = false;
  rules.problems = problems;
  rules.retest_share = share;
  double answers = 0;
  double f1 = 0;
  double squares = 0;
  for (int i = 0; i < worlds; ++i) {
    std::set<size_t> truth;
    const World world = stairs(seed + static_cast<uint64_t>(i), truth);
    const LoopEnd end = Loop(world, rules).run();
    const Quality q = quality({end.front.begin(), end.front.end()}, truth);
    const double one = q.precision + q.recall > 0 ? 2 * q.precision * q.recall / (q.precision + q.recall) : 0;
    answers += static_cast<double>(end.answers()) / worlds;
    f1 += one / worlds;
    squares += one * one / worlds;
  }
  return {{"problems", problems},
          {"retest_share", share},
          {"answers", answers},
          {"f1", f1},
          {"standard_error", std::sqrt(std::max(0.0, squares - f1 * f1) / worlds)}};
}

void add_best(int candidates, int worlds, uint64_t seed, nlohmann::json& rows) {
  const std::vector<std::pair<const char*, Law>> laws = {
      {"losses of 0 to 30 points", Law::kBestOf}, {"losses of 1 to 3 points", Law::kSmall}, {"copies", Law::kCopies}};
  for (const auto& [name, law] : laws) {
    for (const double alike : {0.0, 0.9}) {
      const BestOfMany best = best_of_many(law, candidates, {.alike = alike}, worlds, seed);
      rows.push_back({{"law", name},
                      {"candidates", candidates},
                      {"alike", alike},
                      {"too_good_as_measured", best.raw},
                      {"too_good_shrunk", best.shrunk},
                      {"shrunk_intervals_that_cover", best.covered}});
    }
  }
}

int run(int worlds, uint64_t seed, const std::string& only) {
  const bool all = only.empty() || only == "none";
  nlohmann::json races = nlohmann::json::array();
  for (const double share : all ? std::vector{0.5, 1.0, 2.0, 3.0} : std::vector<double>{}) {
    races.push_back(racing(worlds, seed + 500'000, 24, share));
  }
  nlohmann::json even = nlohmann::json::array();
  for (const int problems : all ? std::vector{24, 36, 48, 72, 96, 144, 192} : std::vector<int>{}) {
    even.push_back(racing(worlds, seed + 500'000, problems, 0));
  }
  nlohmann::json laws = nlohmann::json::array();
  for (const int an_arm : all ? std::vector{5, 10, 30} : std::vector<int>{}) {
    const OneLaw law = one_law(an_arm, worlds, seed + 600'000);
    laws.push_back({{"evaluations_an_arm", an_arm}, {"told_apart", law.told_apart}, {"beats", law.beats}});
  }
  nlohmann::json best = nlohmann::json::array();
  for (const int candidates : all ? std::vector{10, 50, 200} : std::vector<int>{}) {
    add_best(candidates, worlds, seed + 700'000, best);
  }
  const nlohmann::json result = {{"worlds", worlds},    {"first_seed", seed}, {"claims", claims(worlds, seed, only)},
                                 {"racing", races},     {"even", even},       {"one_law", laws},
                                 {"best_of_many", best}};
  std::cout << result.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace vortex::study

int main(int argc, char** argv) {
  return vortex::study::run(argc > 1 ? std::atoi(argv[1]) : 100,
                            argc > 2 ? std::strtoull(argv[2], nullptr, 10) : vortex::study::days_seed(),
                            argc > 3 ? argv[3] : "");
}
