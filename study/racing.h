#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "study/archive.h"
#include "study/claims.h"

namespace vortex::study {

// A point that is to answer the problems of a further round.
struct Retest {
  int64_t candidate = 0;
  int round = 0;  // from 1; a candidate answers its rounds in order
  bool operator==(const Retest&) const = default;
};

struct RaceRules {
  int max_rounds = 14;  // rounds of retests a point; 0: none
  // Differences in accuracy below this are not worth a further evaluation.
  double indifference = 0.02;
  // A point is believed to be as good as its value plus this share of the way to the upper end of its interval: 1 tests
  // whatever the data do not exclude, 0 only what looks better already.
  double optimism = 0;
};

// Racing: which points should answer more problems, because the front would change if the data were clearer. That is a
// point outside whose accuracy may be above that of every member that keeps it out, together with those members; and
// two members of which the slower, unless it is the reference, may owe its place to luck. Both sides of a comparison
// answer the same rounds, so that it stays paired. Nothing when everything is clear, the rounds are used up, or those
// that are left will hardly decide it. First those of whom the fewest further problems should tell: who cannot ask all
// asks these, and then anew. Deterministic.
std::vector<Retest> retests(const Archive& archive, const RaceRules& rules);

// The same for an archive that grows: most points outside are kept out for good by one member, and are looked at again
// only once that has left, or more is known of either. Not thread-safe.
class Racing {
 public:
  explicit Racing(const RaceRules& rules) : rules_(rules) {}
  std::vector<Retest> wanted(const Archive& archive);

  // The member that leaves a point no chance, and the stamps of both then.
  struct Closed {
    uint64_t point = 0;
    size_t by = 0;
    uint64_t stamp = 0;
  };
  // What a member means for a point: nothing, a meeting of the two, or that there is no chance.
  enum class Outlook : uint8_t { kIndifferent, kOpen, kClosed };
  struct Seen {
    uint64_t stamp = 0;  // the member's
    Outlook outlook = Outlook::kIndifferent;
    double problems = 0;  // of an open one: that should tell
  };
  // A member, or a point that no member leaves without a chance, and all members.
  struct Met {
    uint64_t point = 0;
    bool inside = false;
    std::vector<Seen> members;
  };
  struct Memory {
    std::vector<Closed> closed;  // by point
    std::unordered_map<size_t, Met> met;
  };

 private:
  RaceRules rules_;
  Memory memory_;
};

// Points that would be asked on held-out problems today, and that have answered fewer than `rounds` rounds: what
// promises most after one race is mostly luck, and further problems cost less than a finalist that fails.
// In order of candidates.
std::vector<Retest> retests_of_prospects(const Archive& archive, const SequenceRules& rules, int rounds);

}  // namespace vortex::study
