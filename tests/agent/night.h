#pragma once

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <new>
#include <vector>

#include "agent/propose/evolver.h"
#include "tests/agent/synthetic.h"

namespace vortex::agent {

struct Span {
  double begin = 0;
  double end = 0;
};

inline bool any_holds(const std::vector<Span>& spans, double now) {
  return std::any_of(spans.begin(), spans.end(), [&](const Span& span) { return now >= span.begin && now < span.end; });
}

// When what breaks, by the clock on the wall.
struct Faults {
  std::vector<Span> endpoint_down;
  std::vector<Span> disk_full;
  std::vector<Span> clock_jumps;  // at `begin` the clock that the search reads jumps by `end` seconds
  int crash_every = 0;            // n: about one in n worker processes dies
};

// What outlives a session that is killed: the clock on the wall, and what the world outside has counted.
struct World {
  std::atomic<double> now = 1'000;  // workers and the search read it from threads of their own
  int64_t steps = 0;                // places where a kill may strike
  int64_t fatal_step = 0;           // 0: none
  int64_t outages = 0;              // calls that met one
  int64_t crashes = 0;              // of workers
  bool crashed = false;             // the last one: a machine that is well never loses two in a row
  int64_t disk_seconds = 0;
  double billed_tokens = 0;
  double billed_dollars = 0;
  double worked_seconds = 0;   // in which a worker ran
  double sitting_seconds = 0;  // in which a search ran

  static World* share() {
    void* memory = ::mmap(nullptr, sizeof(World), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? nullptr : new (memory) World;
  }

  // kill -9: nothing is closed, nothing is said.
  void step() {
    if (++steps == fatal_step) { ::_exit(9); }
  }

  // Time passes; the disk fills up (no file of this process may grow) and is freed again.
  void pass(double seconds, const Faults& faults) {
    now += seconds;
    sitting_seconds += seconds;
    const bool full = any_holds(faults.disk_full, now);
    if (full) { disk_seconds += 1; }
    struct rlimit limit = {};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = full ? 1024 : limit.rlim_max;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

  double clock(const Faults& faults) const {
    double jumped = now;
    for (const Span& jump : faults.clock_jumps) { jumped += now >= jump.begin ? jump.end : 0.0; }
    return jumped;
  }
};

// The evolver behind a paid endpoint: the bill comes when the call is made, whatever happens afterwards.
class PaidEvolver final : public Proposer {
 public:
  static constexpr double kTokens = 3000;
  static constexpr double kDollars = 0.02;

  PaidEvolver(World& world, const Faults& faults) : world_(world), faults_(faults), inner_(make_evolver()) {}

  Result<std::optional<Proposal>> propose(const ProposalContext& context) override {
    if (any_holds(faults_.endpoint_down, world_.now)) {
      ++world_.outages;
      world_.pass(20, faults_);
      return environment_error("the endpoint does not answer");
    }
    VORTEX_ASSIGN(const std::optional<int64_t> hold, context.budget->hold(2 * kTokens, 2 * kDollars));
    if (!hold) { return std::optional<Proposal>{}; }
    world_.step();
    world_.pass(10, faults_);
    world_.billed_tokens += kTokens;
    world_.billed_dollars += kDollars;
    world_.step();
    VORTEX_TRY(context.budget->settle(*hold, kTokens, kDollars));
    return inner_->propose(context);
  }

 private:
  World& world_;
  const Faults& faults_;
  std::unique_ptr<Proposer> inner_;
};

}  // namespace vortex::agent
