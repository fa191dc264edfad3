#pragma once

#include <memory>
#include <string>
#include <vector>

#include "study/board.h"
#include "study/claims.h"
#include "study/front.h"
#include "study/loaded_run.h"

namespace vortex::study {

// What is known of a run in short, and where all of its rows are.
struct RunView {
  const db::Run& run;
  const SearchOptions& options;
  const Board& board;
  db::Store& store;
  db::RunReader& reader;
};

// A search as a reader of its result wants it: a board of all candidates, read once from end to end. Of most candidates
// it holds a line and a point, so that a long search takes a fraction of the time and memory of its whole history
// (docs/benchmarks/dashboard.md).
struct Digest {
  db::Run run;
  SearchOptions options;
  Board board;
  std::unique_ptr<db::Store> store;  // cannot write
  std::unique_ptr<db::RunReader> reader;
  RunView view() const { return {run, options, board, *store, *reader}; }
};

// The search that a user names, the newest when the name is empty.
Result<Digest> read_digest(const std::string& workspace, const std::string& name);
Result<Digest> read_digest(const std::string& workspace, const db::Run& run);

// The front, and all rows of the candidates that it is made of: its own, dense attention and the finalists.
struct Shown {
  History few;                 // in the order of the search
  std::vector<Claim> claims;   // all finalists, from the most accurate to the fastest
  std::vector<FrontRow> rows;  // as front_rows gives them
};
// Points of which the data cannot say whether they belong to the front take most of the time of a large run.
enum class Undecided { kShown, kLeftOut };
Result<Shown> read_shown(const RunView& view, Undecided undecided);

// Adds all ancestors of the candidates of a history, by their own row and parents alone.
Status add_ancestors(const RunView& view, History& history);

}  // namespace vortex::study
