#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/rng.h"
#include "core/vflow/vary/edit.h"

namespace vortex::vflow {

// One kind of change of a program. `apply` edits a program without dead code and gives what it did in words, or
// nothing where it finds no place. Shapes may be wrong afterwards: finish_program settles them.
struct ProgramMove {
  std::string_view name;
  double weight;  // how often, on a scale shared by all moves: mutate() adds those of the configuration
  std::optional<std::string> (*apply)(Program&, Rng&);
};

std::span<const ProgramMove> program_moves();

// Traces an edited program again, reduces scores that are no longer one number a page by Max, merges what is computed
// twice and drops dead code.
Result<Program> finish_program(Program program, const Geometry& geometry);

// Joins two scores: kAdd as (1 - share) score + share other, or kMaximum; both through Normalize first if asked to.
int add_score(Sketch& sketch, int score, int other, Op join, double share, bool normalise);

}  // namespace vortex::vflow
