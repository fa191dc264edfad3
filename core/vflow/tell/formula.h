#pragma once

#include <string>
#include <vector>

#include "core/vflow/program.h"

namespace vortex::vflow {

// What a program computes, as short formulas, one line each: first what every live field holds when its page is full
// ("centroid = mean[rows](k)"), then values that are used more than once, then the state kept over steps
// ("ema <- 0.5*ema + score") and last the selection ("select topK(...)"). Dead code is left out. ASCII only.
std::vector<std::string> formula_lines(const Program& program);

}  // namespace vortex::vflow
