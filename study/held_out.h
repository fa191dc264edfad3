#pragma once

#include <optional>
#include <string>
#include <vector>

#include "job/job.h"
#include "study/claims.h"
#include "study/history.h"
#include "study/options.h"

namespace vortex::study {

// Held-out problems are answered in rounds (evals::looks_at), up to confirm_problems or held_out of the options in all.
// Dense attention answers a round when the first finalist needs it.

// Of the time, for finalists.
inline constexpr double kFinalsShare = 0.4;

// Problems of each round; empty where nothing is confirmed.
std::vector<int> held_out_rounds(const SearchOptions& options);

// The job of a round (from 1), without a policy: its problems are no other round's and none that the search sees.
// Nothing where there is no such round.
std::optional<job::Job> held_out_job(const SearchOptions& options, int round);

// How many problems there are to hold out: of a data set those that the search does not use, else any number.
std::optional<int> held_out_limit(const job::Job& job);
// The default of confirm_problems: enough that a policy that loses a quarter of the margin is still found to keep
// within it at 90 % power, however unlike dense attention's its answers are.
int default_held_out(double margin);

// How many held-out problems finals have time for, where that is fewer than the default; dense attention has been
// measured. A last look that never comes makes all that come before it wider than they need be: with 192 problems
// planned a policy that loses three points of a margin of ten is kept in 90 % of cases, and in 67 % by the same 192
// where 384 were planned. 0, the default: nobody knows what a problem costs; the time is not limited, or candidates are
// counted, which must come to the same on any machine; the options say how many; or so few that nothing could be
// claimed anyway, and a later sitting may ask more. To be settled before the first held-out problem is asked.
int settled_held_out(const SearchOptions& options, const CandidateHistory& dense);

SequenceRules sequence_rules(const SearchOptions& options);

// What a candidate answered of the first `rounds` held-out rounds, in their order.
std::vector<job::Outcome> held_out_outcomes(const CandidateHistory& candidate, int rounds = 1 << 10);

// The same as a finalist, with its rounds; without its speeds.
Finalist finalist_of(const CandidateHistory& candidate, int rounds = 1 << 10);

// Name of the metric in the rows of a finalist's held-out rounds that holds its place, from 1, among those who were
// asked: in the order of the plan, whoever answered first.
inline constexpr const char* kPlace = "place_among_asked";
// Its place, and the number of its first such row, by which searches of before are ordered; nothing where it was not
// asked.
struct AskedAt {
  int place = 0;
  int64_t row = 0;
  auto operator<=>(const AskedAt&) const = default;
};
std::optional<AskedAt> asked_at(const CandidateHistory& candidate);

// Seconds that dense attention takes for a problem whose prompt nobody has read yet: by its race, whose prompts were
// read before, and a prompt as its speed stage timed one; or by its slowest retest, if that took longer: of the others
// some prompts were read ahead. 0: not known.
double fresh_problem_seconds(const CandidateHistory& dense);

// Before a search begins: what its margin will cost, and what margin its held-out problems can support at all.
// `accuracy` is dense attention's; `seconds` what one problem takes it, its prompt included (0: not known).
std::string plan_text(const SearchOptions& options, double accuracy, double seconds);

}  // namespace vortex::study
