#pragma once

namespace vortex {

// Seconds on a clock that never steps back: for durations and deadlines.
double monotonic_seconds();
// Seconds since the epoch: for what people read and the store keeps.
double wall_seconds();

}  // namespace vortex
