#pragma once

#include <vector>

#include "evals/statistics.h"

namespace vortex::study {

// What one worker process measured of a policy's speed over dense attention's: pairs of runs in turns. What all pairs
// of a process share (where its memory lies, clocks, a neighbour) is not in the interval of their median, and more
// pairs do not take it out: only further processes do (Kalibera and Jones 2013).
struct SpeedRun {
  evals::Interval ratio;          // over dense attention's, of the pairs of this process alone
  double dense_tokens_per_s = 0;  // what dense attention did in it; 0: not known
};

// How far the processes of one policy lie apart: the standard deviation of the logarithm of what one process measures,
// and with how many degrees of freedom it is known. Pooled over the policies of a search, since few processes measure
// one policy and all share the machine.
struct SpeedSpread {
  double deviation = 0.03;
  double dof = 0;  // 0: no policy was measured twice yet, and the deviation is what other machines had
};
// Of policies with their processes, contended ones left out.
SpeedSpread speed_spread(const std::vector<std::vector<SpeedRun>>& policies);

// A speed with what is needed to compare it: on the scale of logarithms errors of two speeds add in squares.
struct Speed {
  evals::Interval ratio;  // 95 %
  double error = 0;       // standard error of the logarithm; 0: exact
  double dof = 0;         // of that error; 0 where it is exact
};
// The geometric mean of the processes, with a t interval over processes. The deviation is the policy's own, moderated
// by the spread of the others as if they were a few further processes (Smyth 2004). Needs a run.
Speed speed_of_runs(const std::vector<SpeedRun>& runs, const SpeedSpread& spread);
Speed exact_speed(double ratio);

// Is `a` faster than `b`: is the difference of their logarithms above zero at a one-sided `level`, e.g. 0.0025?
bool surely_faster(const Speed& a, const Speed& b, double level);

// Tells processes that another program got in the way of. So it seems where dense attention was slower in one than it
// usually is on this machine: its rate lies below the median of all processes by more than `tolerance`, and by more
// than three times their usual distance from it. Needs five processes to know what is usual.
class UsualRate {
 public:
  explicit UsualRate(double tolerance = 0.1) : tolerance_(tolerance) {}

  void add(const SpeedRun& run);  // one whose rate is not known adds nothing
  double median() const;          // tokens per second; 0 where nothing is known
  double bar() const;             // tokens per second below which a process is contended; 0 where nothing is known
  bool is_contended(const SpeedRun& run) const { return run.dense_tokens_per_s > 0 && run.dense_tokens_per_s < bar(); }
  // Would the same processes lie below that bar?
  bool agrees_with(double bar) const;

 private:
  double tolerance_;
  std::vector<double> rates_;  // sorted
  mutable double bar_ = 0;     // worked out when it is asked for
  mutable bool is_current_ = true;
};

}  // namespace vortex::study
