#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/evaluate/evaluator.h"
#include "agent/loop/shelf.h"
#include "agent/session/session.h"
#include "core/vflow/policy.h"
#include "study/claims.h"
#include "study/history.h"
#include "study/racing.h"
#include "study/standing.h"

namespace vortex::agent {

// What a search asks of its candidates beside their climbs: further problems where they could change the front, speed
// once more in processes of its own, held-out problems for what is claimed. Holds the standing, into which it takes
// their rows. Errors as Evaluator::run has them; every function ends early, and well, when the session has ended.
// Called from the loop's thread alone.
class Rounds {
 public:
  Rounds(Session& session, const study::SearchOptions& options, Evaluator& evaluator, const Shelf& shelf);

  // Dense attention, with which everything is paired, by its number; then once its climb is over.
  void set_dense(int64_t candidate) { dense_ = candidate; }
  void take_dense(const study::CandidateHistory& dense);
  // The job of a climb.
  job::Job begin(const vflow::PolicySource& source) const;
  // Takes a candidate's rows into the standing, as it was when what the search knows of it was known. Candidates come
  // in slot order, whatever order they ended in.
  void absorb(const study::CandidateHistory& today);
  // Counts what a climb's race took.
  void count_race(const study::CandidateHistory& candidate);

  // Speed of the front's members, until each has been measured in as many processes as the options ask for.
  Status measure_front();
  // Rounds of further problems, until the front is clear, the rounds are used up, or retests have had their share of
  // all problems answered: first for those that promise a claim, then for those that could change the front. Dense
  // attention answers whatever any of them is asked, so that all stay comparable with it.
  Status race_front();
  // Is what is left of the time about what finalists need? Half of the held-out problems, for dense attention and for
  // two finalists, is what they answered on average (docs/benchmarks/selection.md).
  bool finals_are_due() const;
  // Finalists answer held-out problems in the order that the search's own problems fixed, each in rounds until it is
  // clear what can be said of it. What they answer decides nothing but what is claimed.
  Status finals();
  // What came of a person's request, in words; whatever, when the session ended meanwhile.
  Result<std::string> answer(const db::Request& request);

  const study::Standing& standing() const { return standing_; }
  bool was_confirmed(int64_t candidate) const;

 private:
  Result<job::Job> speed_job(int64_t candidate) const;
  Result<job::Job> retest_job(const study::Retest& retest) const;
  Status add_dense_retests(std::vector<Assignment>& tasks);
  Status measure(const std::vector<int64_t>& candidates);
  Result<std::string> answer_confirm(int64_t candidate);
  Result<std::string> answer_retest(int64_t candidate);
  Result<bool> ask_finalist(study::Finalist& finalist, const study::SequenceRules& rules);
  Status answer_held_out(int64_t candidate, int round);
  Status absorb_all(const std::vector<Assignment>& tasks);

  Session& session_;
  const study::SearchOptions& options_;
  Evaluator& evaluator_;
  const Shelf& shelf_;
  study::Standing standing_;
  study::SequenceRules sequence_rules_;
  study::Racing racing_;

  int64_t dense_ = 0;
  std::vector<job::Outcome> incumbent_;
  std::map<int64_t, study::Known> known_;     // beside the climbs of those that did more
  std::vector<job::Outcome> held_out_dense_;  // what dense attention answered of the rounds so far
  int64_t race_problems_ = 0;                 // answered by races and by retests, trials counted
  int64_t retest_problems_ = 0;
  double dense_problem_seconds_ = 0;  // study::fresh_problem_seconds
  double policy_race_seconds_ = 0;    // of the last candidate
};

}  // namespace vortex::agent
