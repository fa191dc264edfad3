#pragma once

#include <span>
#include <string_view>

#include "base/rng.h"
#include "core/vflow/vary/sketch.h"

namespace vortex::vflow {

// Ways of scoring a page that are known to work or are near relatives of such: the mutator's vocabulary and the
// generator's seeds. Each adds its fields and nodes to a sketch and gives the score, RAGGED [1, 1], or -1 where it
// does not fit the dialect or the block size. `rng` picks constants.
struct Family {
  std::string_view name;
  std::string_view idea;  // one line for people
  double weight;          // how often a mutation picks it
  int (*score)(Sketch&, Rng&);
};

std::span<const Family> score_families();
const Family& pick_family(Rng& rng);

// Adds the operation that turns scores into a selection.
void select_top(Sketch& sketch, int score);
void select_approximately(Sketch& sketch, int score, double tolerance);

// Adds what reduces a RAGGED value to one score a page.
int reduce_to_score(Sketch& sketch, int value, Op reduction);

// A complete policy program of one family, terminal included. Refused if the family does not fit.
Result<Program> family_program(const Family& family, Dialect dialect, const Geometry& geometry, Rng& rng);

// Multiplicative and additive choices used wherever a constant is drawn.
double pick(Rng& rng, std::initializer_list<double> values);

}  // namespace vortex::vflow
