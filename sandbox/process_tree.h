#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/layers.h"

namespace vortex::sandbox {

// A program to start and what it may use. Limits of 0 are not set.
struct Launch {
  std::vector<std::string> argv;         // argv[0] is the absolute path of the program
  std::vector<std::string> environment;  // the whole of it, as NAME=value
  std::string folder;                    // working directory
  int64_t memory_bytes = 0;              // address space (RLIMIT_AS)
  double cpu_seconds = 0;                // RLIMIT_CPU, of each process: SIGXCPU, and SIGKILL five seconds later
  int64_t file_bytes = 0;                // size of any file that it writes (RLIMIT_FSIZE)
  int open_files = 0;                    // RLIMIT_NOFILE
  bool new_privileges = false;           // set-uid programs work as ever: for the user's own commands alone
  bool cgroup = false;                   // hold the tree in control groups, where they may be written
  int64_t group_memory_bytes = 0;        // of the whole tree, through them
  int group_processes = 0;               // processes and threads of the whole tree, through them
  bool launcher = false;                 // argv leads to a launcher (jail.h); "@report" in it is filled in
  std::vector<int> cores;                // that it may run on; empty: any
  std::vector<int> descriptors;          // that the program inherits as 3, 4, ...; ours stay ours
};

// How a program ended.
struct Exit {
  int wait_status = 0;       // as from waitpid; SIGKILL when the jail was ended around the program
  int64_t peak_bytes = 0;    // of its control group, or the largest resident size of one process
  double cpu_seconds = 0;    // user and system time of the whole tree
  bool tree_gone = false;    // every process that it started has ended, too
  int memory_kills = 0;      // processes that the kernel killed at the limit of the control group
  int64_t left_bytes = -1;   // what the control group still held afterwards; -1: not known
  bool ended_itself = true;  // false: the jail around it ended first
  std::string start_fault;   // why the program could not be started; empty: it ran
};

// A program whose whole tree of processes is held: when it ends, when end() is called, when this object dies, or when
// our own process dies, even by SIGKILL, every process that it ever started is killed, also those that forked twice,
// changed their session or ignore signals. A small program between it and us sees to that, the keeper (vortex-keeper,
// beside this program): it adopts all orphans (child subreaper) and kills and reaps until none is left. Certain is that
// where the kernel helps, through a pid namespace or a control group; otherwise a chain of processes that forks faster
// than it is killed may hold out: then tree_gone is false.
//
// No core dumps; no new privileges, unless asked for; no descriptors but the three standard ones and those named; all
// signals at their defaults.
class ProcessTree {
 public:
  // Starts the keeper, which starts the program: that this is impossible is heard from Exit::start_fault.
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
  // Lets go: the keeper kills the tree. May be called again.
  void end();
  // Waits for the end of the tree; call end() before, unless exited() is readable. An error: the keeper itself was
  // killed.
  Result<Exit> wait();

  // What holds the program, as its keeper and its launcher told; complete once the program has said anything.
  const std::vector<LayerReport>& layers();
  // User and system time that the tree has used so far.
  double cpu_seconds() const;
  // What its processes are doing, a letter each as in /proc: R runs or waits to, D and S wait, T and t are stopped.
  std::string states() const;

 private:
  ProcessTree() = default;
  void read_reports();

  pid_t keeper_ = -1;
  int input_ = -1;
  int output_ = -1;
  int error_ = -1;
  int status_ = -1;
  int report_ = -1;
  int leash_ = -1;
  bool launcher_ = false;
  std::vector<LayerReport> layers_;
  std::string start_fault_;
  bool program_ended_ = false;
  int program_status_ = 0;
};

// The keeper program, beside the one that runs.
std::string keeper_path();

}  // namespace vortex::sandbox
