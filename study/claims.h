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
// to the fastest, until one is not found to keep its accuracy. If that is the first, one more is asked, the fallback.
// Whoever is not found to keep its accuracy makes it harder for all that are asked later (`claim_width`): then at most
// one search in forty claims anything false, however many finalists it has (Maurer, Hothorn, Lehmacher 1995; Wiens
// 2003); with members of the front asked behind them, who may come after a sequence or after its fallback, one in 37
// (0.0225 and twice 0.0023). A policy is faster when processes that had no part in its selection say so: those that are
// kept, in a sequence of its own, from the fastest to the slowest by the first process.

// A finalist whose chance to be found to keep its accuracy has fallen below this answers no more problems.
inline constexpr double kHopelessChance = 0.1;

// How much wider the interval that decides of a finalist is, by how many before it were not found to keep their
// accuracy. A policy that loses the margin is kept with a chance of 0.0225, 0.0023, 0.0001 at most: together one in
// forty (tests/study/claims_test.cpp).
constexpr double claim_width(int failures) { return 1 + failures / 3.0; }

struct SequenceRules {
  double margin = 0.1;
  int problems = 384;  // held out, that a finalist answers at most
  size_t most = 3;     // finalists
  double hope = 0;     // standard errors that an expected difference may turn out better
  // Of finalists whose right answers were forced: a promise below this says that they will lose much of the margin,
  // whatever luck they had in the search. They are asked only where no others promise a gain.
  double least_promise = 0;
  int failures = 0;  // finalists asked before that were not found to keep their accuracy
};

// One finalist, with what was measured for its claim alone.
struct Finalist {
  int64_t candidate = 0;
  std::vector<job::Outcome> outcomes;  // on held-out problems
  std::optional<Speed> speed;          // of the processes after the first one; nothing where there are none
  double first_speed = 0;              // over dense attention's, in the first process; 0: not known
  std::vector<size_t> looks = {};      // answers by the end of each round; none: all came at once
};

struct Claim {
  int64_t candidate = 0;
  int problems = 0;                // held out, that it and dense attention both answered
  evals::Interval accuracy;        // on these
  evals::Interval dense_accuracy;  // on these
  evals::Interval difference;      // paired, where asking ended
  evals::Keeping keeping = evals::Keeping::kCannotSay;
  bool kept = false;    // by `keeping`: it is confirmed
  bool faster = false;  // ... in the sequence of speeds
  std::optional<Speed> speed;
};

// Judges finalists, given in the order in which they were asked.
std::vector<Claim> judge_claims(const std::vector<Finalist>& sequence, const std::vector<job::Outcome>& dense,
                                const SequenceRules& rules, uint64_t seed);
// Need a finalist answer no more problems? It is clear what is to be said of it, or its chance to be kept is too small.
bool is_decided(const Finalist& finalist, const std::vector<job::Outcome>& dense, const SequenceRules& rules,
                uint64_t seed);
// The finalist with the answers of the rounds up to the one at which it is decided. Those behind, asked at once with it
// so that no worker was idle, say nothing: the claim is the one of a finalist that is asked round by round.
Finalist until_decided(Finalist finalist, const std::vector<job::Outcome>& dense, const SequenceRules& rules,
                       uint64_t seed);
// Those answers whose problem and trial are among the other ones, too.
evals::AnswerSheet shared_with(const evals::AnswerSheet& answers, const evals::AnswerSheet& other);
// The fastest that is both kept and faster; null where there is none.
const Claim* headline_of(const std::vector<Claim>& claims);

// What the search's own problems let expect of a point, shrunk towards the mean of all candidates (empirical Bayes:
// Efron and Morris 1973): the best of many noisy values is too good, and the more so the more there are. Where all have
// been forced to write right answers, shrunk instead towards what candidates lose that are as surprised by them (Fay
// and Herriot 1979), which is in proportion: dense attention is not surprised, and loses nothing. A value keeps that
// share of its distance to the centre that the true spread of the candidates is of that spread and its own error; the
// spread is what the values vary by beyond their errors (Hedges and Olkin 1985). The luck of dense attention is in all
// differences and no sign of the spread: it is in the error that is printed, and shrinks nothing.
struct Expected {
  int64_t candidate = 0;
  evals::Interval difference;  // to dense attention's accuracy; 95 %
  double error = 0;            // standard error
};
// Of those of the candidates that are points and not the reference, in their order. Without a reference there are none.
std::vector<Expected> expected_differences(const Archive& archive, const std::vector<int64_t>& candidates);

// The sequence of finalists that promises most: of the points that no other beats in expected accuracy and speed, up to
// `most`, chosen so that the expected logarithm of the speed that can be claimed, and that anything can be, is largest.
// From the most accurate to the fastest; candidates. Empty where nothing promises a gain. `without`: candidates that
// are not to be in it.
std::vector<int64_t> best_sequence(const Archive& archive, const SequenceRules& rules,
                                   const std::set<int64_t>& without = {});
// Who is asked where the first of a sequence is not kept: who promises most of those that are not in it. Nothing where
// nobody does.
std::optional<int64_t> fallback_of(const Archive& archive, const SequenceRules& rules,
                                   const std::vector<int64_t>& sequence);
// Of candidates in the order in which they were asked, those of whom the search's own problems promise a claim. The
// others, which a person asked for, count neither for nor against anybody.
std::vector<int64_t> asked_sequence(const Archive& archive, const SequenceRules& rules,
                                    const std::vector<int64_t>& asked);

}  // namespace vortex::study
