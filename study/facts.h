#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "study/digest.h"
#include "study/front.h"
#include "study/hypervolume.h"

namespace vortex::study {

struct Failure {
  int count = 0;
  int64_t example = 0;
  std::string message;   // the first line of the example's
  bool machine = false;  // the machine's fault, not the candidates'
};

struct Origin {
  int proposed = 0;
  int passed = 0;
  int on_front = 0;
};

struct Spent {
  std::string what;  // a resource of agent/session/budget.h
  double used = 0;
  double limit = 0;  // 0: none
};

// What the evidence says of the GPU that speeds were measured on.
struct CardDoubts {
  int measured = 0;    // speed stages with such evidence
  int throttled = 0;   // of them, with the clocks held down by heat or a fault
  int shared = 0;      // with processes of others on the card
  int lowest_mhz = 0;  // of the throttled ones
  std::string limits;  // of one of them
};

// What a search came to, read from its rows. Counts leave dense attention out, times do not.
struct Facts {
  std::vector<FrontRow> front;
  History few;  // what the front is made of, and all ancestors by their row and parents alone
  std::optional<Best> best;
  std::vector<Claim> claims;          // all finalists, from the most accurate to the fastest
  std::string no_claim;               // why there is no best, and what it would take; empty where there is one
  std::string baseline_warning;       // for every page; empty where the baseline tells something
  evals::Interval hypervolume;        // of the front
  std::optional<ArmComparison> arms;  // where something of the control arm was evaluated
  std::string no_arms;                // else why there is no comparison
  std::map<std::string, std::map<std::string, int>> funnel;  // stage -> verdict -> candidates
  std::map<std::pair<std::string, std::string>, Failure>
      failures;  // (stage and verdict, cause), a cause being a message without its numbers
  std::map<std::string, Origin> origins;
  std::map<std::string, double> stage_seconds;  // over all attempts
  std::map<int64_t, double> found;              // members of the front: seconds since the start when they were known
  std::vector<Spent> spent;
  std::map<std::string, int> events;  // kind -> how many
  std::string waited_for;             // what the last session waited for when it ended; empty: nothing
  nlohmann::json notebook;            // study/notebook.h
  std::vector<std::string> themes;    // what to try next, and why
  int candidates = 0;
  int evaluated = 0;  // those that reached a worker
  int retests = 0;    // rounds of further problems
  CardDoubts card;
};

// The stages that facts are counted by, in climbing order: the ladder's, and "retest" behind "race".
std::vector<std::string> counted_stages();

Result<Facts> facts_of(const RunView& view, Undecided undecided);

// Did searching pay? In a sentence.
std::string arms_text(const ArmComparison& arms);
// What the evidence says against the speeds; empty where it says nothing.
std::string card_text(const CardDoubts& card);
// Faults that were met and waited for; empty where there were none.
std::string machine_text(const Facts& facts);

// What a reader of the brief may want to do next.
struct NextStep {
  std::string name;
  std::string arguments;  // of vortex
  std::string why;        // may be empty
};
std::vector<NextStep> next_steps(const db::Run& run, const Facts& facts);

}  // namespace vortex::study
