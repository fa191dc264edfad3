#pragma once

#include <algorithm>

namespace vortex::engine {

// Fits a schedule of thread blocks a row (cuda::DecodeSchedule, cuda::SelectAndAttendSchedule) to what an engine
// allows: at most `row_pieces` blocks, and as many pieces, whatever the batch is, where no bit may depend on it; else a
// piece a block.
template <class Schedule>
void split_rows(Schedule& schedule, int row_pieces, bool batch_invariant) {
  schedule.cluster = std::min(schedule.cluster, row_pieces);
  schedule.pieces = batch_invariant ? row_pieces : schedule.cluster;
}

}  // namespace vortex::engine
