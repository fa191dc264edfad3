#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
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

// What climbs while a search asks for more of what it knows.
enum class Beside { kNothing, kClimbs, kLastClimbs };

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
  // Was anybody asked on held-out problems, in whatever sitting?
  Result<bool> has_asked() const;
  // The job of a climb: held against the rivals of the last look-up.
  job::Job climb(const vflow::PolicySource& source) const;
  // Takes in who has passed since, by what their recall stages measured of right answers; but for the control arm, of
  // which the search must not profit.
  Status look_up_rivals(const std::set<int64_t>& control);
  // Takes a candidate's rows into the standing, as it was when what the search knows of it was known. Candidates come
  // in slot order, whatever order they ended in.
  void absorb(const study::CandidateHistory& today);
  // Counts what a climb took.
  void count_climb(const study::CandidateHistory& candidate);

  // Asks what the standing leaves open, until there is nothing more to ask: speed of the front's members, until each
  // has been measured in as many processes as the options ask for; then rounds of further problems, until the front is
  // clear, the rounds are used up, retests have had their share of all problems answered, or new problems theirs of the
  // time: first for those that promise a claim, then for those that could change the front. Dense attention answers
  // whatever any of them is asked, so that all stay comparable with it.
  // Beside climbs, where batches overlap: asks for a speed and a round of problems at once, and returns; `overlap` such
  // calls later they are taken into the standing, and what is open then is asked. Once no more climbs will follow in
  // such a search, what would be asked round after round is asked at once, as far as a batch's workers reach: they
  // would be idle. Beside the last climbs it returns as well, and the next call takes what was asked.
  Status ask(Beside beside);
  // Waits for what is being asked and takes it into the standing. Every function below does so first.
  Status take_asked();
  // Is what is left of the time about what finalists need, should they answer all held-out problems?
  bool finals_are_due() const;
  // Once nothing more is proposed, where batches overlap: what dense attention needs to answer for finals, beside the
  // last climbs.
  Status prepare_finals();
  // Finalists answer held-out problems in the order that the search's own problems fixed, each in rounds until it is
  // clear what can be said of it; the fallback where the first is not kept; then, until finals have had their share of
  // the time, the front's other members, from the most accurate on: those that promise a claim before those that do
  // not. What they answer decides nothing but what is claimed.
  Status finals();
  // What came of a person's request, in words; whatever, when the session ended meanwhile.
  Result<std::string> answer(const db::Request& request);

  const study::Standing& standing() const { return standing_; }
  bool was_confirmed(int64_t candidate) const;

 private:
  void count_race(const study::CandidateHistory& candidate);
  bool may_be_asked(const study::Retest& retest) const;
  job::Job job_of(const vflow::PolicySource& source) const;
  Result<job::Job> speed_job(int64_t candidate) const;
  Result<job::Job> retest_job(const study::Retest& retest) const;
  Status add_dense_retests(std::vector<Assignment>& tasks);
  // A retest that is wanted, and the last round that its candidate may come to.
  struct Wish {
    study::Retest retest;
    int last = 0;
  };
  Result<std::vector<Assignment>> next(bool all_at_once);
  Result<std::vector<Assignment>> next_speeds(bool all_at_once);
  Result<std::vector<Assignment>> next_retests(const std::vector<Assignment>& beside, bool all_at_once);
  std::vector<Wish> wishes(bool all);
  Result<std::vector<Assignment>> speeds_of(const std::vector<int64_t>& candidates, bool all_at_once);
  void count_new_problems(const study::CandidateHistory& dense, const std::vector<Assignment>& tasks);
  Status take(const std::vector<Assignment>& tasks);
  Status measure(const std::vector<int64_t>& candidates);
  Result<std::string> answer_confirm(int64_t candidate);
  Result<std::string> answer_retest(int64_t candidate);
  // One who was asked on held-out problems.
  struct Trial {
    study::Finalist finalist;
    int round = 0;        // that it has behind it
    bool failed = false;  // it lost its pass
    bool ended = false;
    bool kept = false;
  };
  struct Asked {
    std::vector<int64_t> kept;
    bool failed = false;  // one of them lost its pass
  };
  Result<Asked> ask_finalists(const std::vector<int64_t>& candidates);
  Status ask_sequences();
  Status ask_front(double seconds);
  std::vector<int64_t> unasked_front();
  Trial* trial_of(int64_t candidate);  // null where it was not asked
  Status add_trials(const std::vector<int64_t>& candidates);
  study::SequenceRules rules_for(int64_t candidate) const;
  void judge(Trial& trial) const;
  Status take_held_out(Trial& trial);
  Result<std::optional<Assignment>> held_out_task(int64_t candidate, int round);
  Result<std::vector<Assignment>> held_out_tasks(const std::vector<int64_t>& candidates, int first, int last);
  Status answer_held_out(const std::vector<int64_t>& candidates, int first, int last);

  Session& session_;
  const study::SearchOptions& options_;
  Evaluator& evaluator_;
  const Shelf& shelf_;
  study::Standing standing_;
  study::SequenceRules sequence_rules_;
  study::Racing racing_;

  int64_t dense_ = 0;
  std::vector<job::Outcome> incumbent_;
  std::vector<job::Rival> rivals_;
  size_t rivals_seen_ = 0;  // points that were looked at
  int64_t last_rival_seen_ = 0;
  std::vector<Assignment> asked_;             // and not taken yet
  int64_t asked_lot_ = 0;                     // their number with the evaluator
  int asked_age_ = 0;                         // calls of ask() since
  int64_t dense_lot_ = 0;                     // of prepare_finals(); 0: none
  std::vector<int64_t> measuring_;            // members of the front, of which some process may still be wanted
  std::map<int64_t, study::Known> known_;     // beside the climbs of those that did more
  std::vector<Trial> trials_;                 // in the order in which they were asked
  std::vector<job::Outcome> held_out_dense_;  // what dense attention answered of the rounds so far
  int64_t race_problems_ = 0;                 // answered by races and by retests, trials counted
  int64_t retest_problems_ = 0;
  double climb_seconds_ = 0;          // of policies
  double new_problems_seconds_ = 0;   // of dense attention's rounds of retests
  double dense_problem_seconds_ = 0;  // study::fresh_problem_seconds
  double policy_race_seconds_ = 0;    // of the last candidate
};

}  // namespace vortex::agent
