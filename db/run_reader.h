#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "db/sqlite.h"
#include "db/store.h"

namespace vortex::db {

// Reads one run piece by piece on a connection of its own that cannot write, for a reader that keeps up with a search.
// Not thread-safe. Errors as Store's.
class RunReader {
 public:
  // Candidates by their ids, both ends included.
  struct Range {
    int64_t first = 0;
    int64_t last = 0;
  };

  static Result<std::unique_ptr<RunReader>> open(const std::filesystem::path& workspace, int64_t run);

  // A number that changes when another connection has committed something.
  Result<int64_t> data_version();

  Result<Run> run();
  Result<Range> candidate_range(int64_t after = 0);  // of the run, of higher ids; {0, -1} where it has none
  Result<std::vector<Candidate>> candidates(Range range);
  // In order of candidates, then of insertion; without evidence and log tails.
  Result<std::vector<StageRow>> stages(Range range);
  Result<std::vector<OutcomeRow>> outcomes(Range range);  // of races and retests: what points are made of
  Result<std::vector<LineageEdge>> lineage(Range range);  // of children in the range

  // Candidates with a stage row after `stage`, by ids; and the newest stage row of all runs.
  Result<std::vector<int64_t>> touched_since(int64_t stage);
  Result<int64_t> newest_stage();
  Result<std::vector<Event>> events_since(int64_t event);
  // Seconds spent in each stage, over all candidates and attempts, by the stage's name.
  Result<std::map<std::string, double>> stage_seconds();
  // What the evidence of the speed stages says of the GPU, as JSON objects; of stages without a GPU nothing.
  Result<std::vector<std::string>> gpu_evidence();
  // When the last stage row before `time` was stored; 0 where there is none.
  Result<double> last_stage_before(double time);

 private:
  RunReader(Connection connection, int64_t run) : connection_(std::move(connection)), run_(run) {}

  Connection connection_;
  int64_t run_;
};

}  // namespace vortex::db
