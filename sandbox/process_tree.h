#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace vortex::sandbox {

// A program to start and what it may use. Limits of 0 are not set.
struct Launch {
  std::vector<std::string> argv;         // argv[0] is the path of the program
  std::vector<std::string> environment;  // the whole of it, as NAME=value
  std::string folder;                    // working directory
  int64_t memory_bytes = 0;              // address space (RLIMIT_AS)
  double cpu_seconds = 0;                // RLIMIT_CPU: SIGXCPU, and SIGKILL five seconds later
  int64_t file_bytes = 0;                // size of any file that it writes (RLIMIT_FSIZE)
  int open_files = 0;                    // RLIMIT_NOFILE
  std::vector<int> descriptors;          // that it inherits as 3, 4, ...; ours stay ours
  std::vector<int> cores;                // that it may run on; empty: any
};

// How a program ended.
struct Exit {
  int wait_status = 0;     // as from waitpid
  int64_t peak_bytes = 0;  // largest resident size of it or of a child that it waited for
  double cpu_seconds = 0;  // user and system time, likewise
  bool tree_gone = false;  // every process that it started has ended, too
};

// A program on a tree: when it ends, when end() is called, when this object dies, or when our own process dies, even
// by SIGKILL, every process that it ever started is killed, also those that forked twice, changed their session or
// ignore signals. A small keeper process between it and us sees to that: it adopts all orphans of the tree (child
// subreaper) and kills and reaps its children until none is left.
//
// Boost.Process cannot do this cleanly: the keeper must fork again before exec and go on without an exec of its own,
// which its pre-exec hooks do not allow for; so this uses the system calls themselves. No core dumps; no new
// privileges; no descriptors but the three standard ones; all signals at their defaults.
class ProcessTree {
 public:
  // Starts the program. A program that cannot be executed is the environment's fault.
  static Result<std::unique_ptr<ProcessTree>> start(const Launch& launch);
  ~ProcessTree();
  ProcessTree(const ProcessTree&) = delete;
  ProcessTree& operator=(const ProcessTree&) = delete;

  // Our ends of its standard streams, non-blocking. `input` is a socket: send with MSG_NOSIGNAL.
  int input() const { return input_; }
  int output() const { return output_; }
  int error() const { return error_; }
  // Becomes readable when the program and its whole tree have ended.
  int exited() const { return status_; }

  void close_input();
  // Lets go of the tree: the keeper kills the tree. May be called again.
  void end();
  // Waits for the end of the tree; call end() before, unless exited() is readable. An error: the keeper itself was
  // killed.
  Result<Exit> wait();

 private:
  ProcessTree() = default;

  int keeper_ = -1;  // process id
  int input_ = -1;
  int output_ = -1;
  int error_ = -1;
  int status_ = -1;
  int tree_ = -1;
};

}  // namespace vortex::sandbox
