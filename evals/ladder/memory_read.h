#pragma once

namespace vortex::evals {

// Bytes per second at which `threads` threads of this process read memory that no cache holds, all summing plain
// integers over 256 MiB: the best of repeated passes within about `seconds`. What the achieved bandwidth of a decode
// step is held against.
double memory_read_bandwidth(int threads, double seconds);

}  // namespace vortex::evals
