#pragma once

#include <string>

namespace vortex::sandbox {

// Which system calls a worker may make. Everything that is on no list answers "not implemented", so that libraries fall
// back on something older; what nothing honest calls kills the whole process with SIGSYS.
struct FilterOptions {
  bool gpu = false;            // with what NVIDIA's driver and CUDA need beside
  bool kill_unlisted = false;  // for the test that keeps the list true
};

// Loads the filter for this process and everything that it starts. Needs no_new_privs. Empty: done; else what failed.
std::string filter_system_calls(const FilterOptions& options);

}  // namespace vortex::sandbox
