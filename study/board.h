#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "study/held_out.h"
#include "study/history.h"
#include "study/options.h"
#include "study/standing.h"

namespace vortex::study {

// The rungs that a board counts, in climbing order: the ladder's stages, and all retests as one behind the race.
// Further rounds of other stages are on none.
inline constexpr size_t kRungs = job::kLadder.size() + 1;
std::string_view rung_name(size_t rung);

// One candidate in a line.
struct BoardLine {
  int64_t candidate = 0;
  int64_t batch = 0;
  db::Origin origin = db::Origin::kSeed;
  db::Arm arm = db::Arm::kSearch;
  db::CandidateState state = db::CandidateState::kProposed;
  std::optional<job::Verdict> verdict;
  std::optional<db::StageRound> stage;  // that it was in last; none before the first
  std::string why;                      // it ended there: the first line of the message
  std::string made_by;                  // what was done to its first parent, or its rationale; short
  std::optional<double> accuracy;
  std::optional<double> speed;                            // over dense attention's
  double seconds = 0;                                     // over all stages and attempts
  double known = 0;                                       // when its last row was stored, seconds since the epoch
  bool evaluated = false;                                 // it reached a worker
  bool confirmed = false;                                 // asked on held-out problems; what they say is in the claims
  AskedAt asked;                                          // on held-out problems, where it was confirmed
  int retests = 0;                                        // rounds that it answered
  int evaluated_before = 0;                               // candidates that had reached a worker when it was first seen
  std::array<std::optional<job::Verdict>, kRungs> rungs;  // of its last row there
  int failure = -1;                                       // index into failures()
  bool is_dense() const { return origin == db::Origin::kDense; }
  bool is_done() const { return state == db::CandidateState::kDone; }
  bool has_passed() const { return verdict == job::Verdict::kPass; }
};

// Candidates that ended in the same place for the same reason.
struct FailureGroup {
  db::StageRound stage;
  job::Verdict verdict = job::Verdict::kFail;
  std::optional<Blame> blame;
  std::string cause;    // the first line of the message with numbers left out
  std::string message;  // of the first of them, whole
  int64_t example = 0;
  int count = 0;
};

struct OriginCount {
  int proposed = 0;
  int passed = 0;
};

// What is known of a run, kept up candidate by candidate: taking one in costs what that one is, whatever the run's
// size. Not thread-safe.
class Board {
 public:
  explicit Board(const SearchOptions& options);

  // Takes a candidate in, or anew. On first sight in search order. `history` needs no evidence and no log tails, and
  // of `parents` only the first. Its point is known after the next `settle`.
  void update(const CandidateHistory& history);

  // Works the front out, once for all that was taken in; gives the candidates whose point is new, moved, or none any
  // more. Looks at those alone, unless what all speeds are held against has changed.
  std::vector<int64_t> settle();

  const std::vector<BoardLine>& lines() const { return lines_; }  // in order of first sight
  const BoardLine* find(int64_t candidate) const;
  int64_t dense() const { return dense_; }  // dense attention's candidate; 0 before it is known
  const Standing& standing() const { return standing_; }
  const Point* point(int64_t candidate) const { return standing_.archive().find(candidate); }  // null: it is none
  bool on_front(int64_t candidate) const { return standing_.archive().on_front(candidate); }

  const std::vector<FailureGroup>& failures() const { return failures_; }
  const std::map<std::string, OriginCount>& origins() const { return origins_; }
  int rung_count(size_t rung, job::Verdict verdict) const { return counts_[rung][static_cast<size_t>(verdict)]; }
  int candidates() const { return candidates_; }  // dense attention aside, as everything counted here
  int evaluated() const { return evaluated_; }
  int retests() const { return retests_; }
  const std::set<int64_t>& unfinished() const { return unfinished_; }

 private:
  BoardLine line_of(const CandidateHistory& history) const;
  void count(const BoardLine& line, int sign);
  int failure_of(const CandidateHistory& history);

  SearchOptions options_;
  Standing standing_;
  std::vector<BoardLine> lines_;
  std::unordered_map<int64_t, size_t> place_;
  std::vector<FailureGroup> failures_;
  std::map<std::tuple<db::StageRound, job::Verdict, std::optional<Blame>, std::string>, int> failure_place_;
  std::map<std::string, OriginCount> origins_;
  std::array<std::array<int, job::kVerdicts.size()>, kRungs> counts_{};
  std::set<int64_t> unfinished_;
  struct Settled {
    double speed = 0;
    size_t outcomes = 0;
    bool operator==(const Settled&) const = default;
  };
  std::unordered_map<int64_t, Settled> points_;  // as of the last settle
  int64_t dense_ = 0;
  int candidates_ = 0;
  int evaluated_ = 0;
  int retests_ = 0;
};

}  // namespace vortex::study
