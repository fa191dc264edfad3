#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "study/history.h"

namespace vortex::study {

// One line of a candidate's family tree.
struct Ancestor {
  int depth = 0;  // 0: the candidate itself
  int64_t candidate = 0;
  int64_t child = 0;      // 0 at depth 0
  std::string operation;  // that made the child from it
  bool repeated = false;  // its own ancestors stand further up
};

// A candidate and all its ancestors, each before its own parents.
std::vector<Ancestor> ancestry(const History& history, int64_t candidate);
// The same as indented text.
std::string ancestry_text(const History& history, int64_t candidate);

}  // namespace vortex::study
