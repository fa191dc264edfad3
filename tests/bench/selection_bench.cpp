// Does selection earn its cost? Against an evaluator whose truth is known: what a front of equal policies looks like,
// and how many evaluations racing needs beside an even spread. Asserts nothing; writes JSON to stdout.
// usage: selection_bench [worlds]

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "tests/study/planted.h"

namespace vortex::agent {
namespace {

constexpr size_t kDominated = 18;

nlohmann::json equal_policies(int worlds) {
  int ones = 0;
  int raced_ones = 0;
  double members = 0;
  double naive = 0;
  for (int world = 0; world < worlds; ++world) {
    const auto seed = static_cast<uint64_t>(world) + 1;
    const PlantedTruth truth(std::vector<TrueArm>(10, TrueArm{1.0, 2.0}), seed);
    const size_t size = spend_evenly(truth, PlantedTruth::kProblems * PlantedTruth::kTrials, seed).front.size();
    ones += size == 1 ? 1 : 0;
    members += static_cast<double>(size);
    raced_ones += race(truth, {4}, seed).front.size() == 1 ? 1 : 0;
    naive += static_cast<double>(naive_front(truth, PlantedTruth::kProblems * PlantedTruth::kTrials).size());
  }
  return {{"worlds", worlds},
          {"fronts_of_one", ones},
          {"fronts_of_one_after_racing", raced_ones},
          {"mean_members", members / worlds},
          {"mean_members_of_a_naive_front", naive / worlds}};
}

template <typename Find>
nlohmann::json measure(int worlds, const Find& find) {
  Quality sum;
  double evaluations = 0;
  double f1 = 0;
  int exact = 0;
  for (int world = 0; world < worlds; ++world) {
    const auto seed = static_cast<uint64_t>(world) + 1;
    const PlantedTruth truth(staircase(kDominated, seed), seed);
    const Found got = find(truth, seed);
    const Quality q = quality(got.front, truth.true_front());
    sum.precision += q.precision;
    sum.recall += q.recall;
    f1 += q.precision + q.recall > 0 ? 2 * q.precision * q.recall / (q.precision + q.recall) : 0.0;
    exact += got.front == truth.true_front() ? 1 : 0;
    evaluations += static_cast<double>(got.evaluations);
  }
  return {{"precision", sum.precision / worlds},
          {"recall", sum.recall / worlds},
          {"f1", f1 / worlds},
          {"exact_share", static_cast<double>(exact) / worlds},
          {"evaluations", evaluations / worlds}};
}

int run(int worlds) {
  nlohmann::json racing = nlohmann::json::array();
  for (double optimism : {0.0, 0.25, 0.5, 1.0}) {
    RaceRules rules{4};
    rules.optimism = optimism;
    nlohmann::json entry = measure(worlds, [&](const auto& truth, uint64_t seed) { return race(truth, rules, seed); });
    entry["optimism"] = optimism;
    racing.push_back(std::move(entry));
  }
  nlohmann::json even = nlohmann::json::array();
  for (int trials : {1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16}) {
    const int pairs = trials * PlantedTruth::kProblems;
    nlohmann::json entry =
        measure(worlds, [&](const auto& truth, uint64_t seed) { return spend_evenly(truth, pairs, seed); });
    entry["pairs_an_arm"] = pairs;
    even.push_back(std::move(entry));
  }
  const nlohmann::json result = {{"worlds", worlds},
                                 {"arms", kDominated + 6},
                                 {"true_front", 6},
                                 {"problems", PlantedTruth::kProblems},
                                 {"trials", PlantedTruth::kTrials},
                                 {"equal_policies", equal_policies(worlds)},
                                 {"racing", racing},
                                 {"even", even}};
  std::cout << result.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace vortex::agent

int main(int argc, char** argv) { return vortex::agent::run(argc > 1 ? std::atoi(argv[1]) : 100); }
