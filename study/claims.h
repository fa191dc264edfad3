#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "evals/noninferiority.h"
#include "study/archive.h"

namespace vortex::study {

// What is claimed of policies, and how: one rule for the front, the report, the export and the dashboard.
//
// A policy keeps dense attention's accuracy when held-out problems, which no decision of the search has looked at, say
// so by `judge_keeping`. Finalists are asked in an order that the search's own problems fixed, from the most accurate
// to the fastest, and the first that is not found to keep its accuracy ends the sequence: then at most one search in
// forty claims anything false, however many finalists it has (Maurer, Hothorn, Lehmacher 1995). A policy is faster when
// processes that had no part in its selection say so, in a sequence of its own from the fastest to the slowest.

// A finalist whose chance to be found to keep its accuracy has fallen below this answers no more problems.
inline constexpr double kHopelessChance = 0.1;

struct SequenceRules {
  double margin = 0.1;
  int problems = 384;  // held out, that a finalist answers at most
  size_t most = 3;     // finalists
  double hope = 0;     // standard errors that an expected difference may turn out better
};

// One finalist, with what was measured for its claim alone.
struct Finalist {
  int64_t candidate = 0;
  std::vector<job::Outcome> outcomes;  // on held-out problems
  std::optional<Speed> speed;          // of the processes after the first one; nothing where there are none
};

struct Claim {
  int64_t candidate = 0;
  int problems = 0;                                     // held out, that it and dense attention both answered
  evals::Interval accuracy;                             // on these
  evals::Interval dense_accuracy;                       // on these
  evals::Interval difference;                           // paired, where asking ended
  evals::Keeping keeping = evals::Keeping::kCannotSay;  // by its own interval
  bool kept = false;    // ... and nobody before it in the sequence failed: it is confirmed
  bool faster = false;  // ... in the sequence of speeds
  std::optional<Speed> speed;
};

// Judges finalists, given in the order of the sequence, from the most accurate to the fastest.
std::vector<Claim> judge_claims(const std::vector<Finalist>& sequence, const std::vector<job::Outcome>& dense,
                                const SequenceRules& rules, uint64_t seed);
// Those answers whose problem and trial are among the other ones, too.
evals::AnswerSheet shared_with(const evals::AnswerSheet& answers, const evals::AnswerSheet& other);
// The fastest that is both kept and faster; null where there is none.
const Claim* headline_of(const std::vector<Claim>& claims);

// What the search's own problems let expect of a point, shrunk towards what all candidates have (Efron and Morris
// 1973): the best of many noisy values is too good, and the more so the more there are.
struct Expected {
  int64_t candidate = 0;
  evals::Interval difference;  // to dense attention's accuracy; 95 %
  double error = 0;            // standard error
};
// Of all points but the reference, in their order. Without a reference there are none.
std::vector<Expected> expected_differences(const Archive& archive);

// The sequence of finalists that promises most: of the points that no other beats in expected accuracy and speed, up to
// `most`, chosen so that the expected logarithm of the speed that can be claimed is largest. From the most accurate to
// the fastest; candidates. Empty where nothing promises a gain.
// `asked`: the only candidates that may be in it; null: all.
std::vector<int64_t> best_sequence(const Archive& archive, const SequenceRules& rules,
                                   const std::set<int64_t>* asked = nullptr);

}  // namespace vortex::study
