#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::sandbox {

// A program to start as a child of this process. Everything that it gets is named here.
struct Spawn {
  std::string program;                     // absolute path
  std::vector<std::string> arguments;      // without the program's own name
  std::vector<std::string> environment;    // the whole of it, as NAME=value
  std::string folder;                      // working directory
  std::array<int, 3> streams{-1, -1, -1};  // become its standard streams; above 2
  std::vector<int> descriptors;            // stay open in it under their own numbers; all others close
};

// The one place where a program is started, through Boost.Process. The child leads a session of its own, has every
// signal at its default and none blocked. Returns its process id; nobody but the caller waits for it. A program that
// cannot be executed is the environment's fault. Thread-safe.
Result<pid_t> spawn(const Spawn& what);

// Waits for a child of this process to end, and gives its wait status; -1 when it is no child of ours.
int wait_for_child(pid_t child);

}  // namespace vortex::sandbox
