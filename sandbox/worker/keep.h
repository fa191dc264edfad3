#pragma once

namespace vortex::sandbox {

// vortex-worker --keep-weights: reads a job from the socket at descriptor 3, makes what its workers share
// (evals/ladder/kept.h), answers with the descriptors, and holds it until the other end of the socket closes. Gives the
// exit code.
int keep_weights();

}  // namespace vortex::sandbox
