#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vortex::sandbox {

// One group of processes in every hierarchy of control groups that may be written: memory and pids of version 1, or
// version 2 with whatever it was given. Below the group that this process is in, so that limits set from outside hold
// on.
class Cgroups {
 public:
  // Makes the groups and sets the limits (0: none). What could not be done is left out.
  void make(const std::string& name, int64_t memory_bytes, int64_t processes);

  bool limits_memory() const { return !memory_.empty(); }
  bool limits_processes() const { return !processes_.empty(); }
  bool kills() const { return !kill_file_.empty(); }
  const std::string& why() const { return why_; }  // the last thing that did not work

  // For the process that is going to be the program: enters the groups. False: errno says why.
  bool join() const;
  // Kills every process in the group, however it hides. False where the kernel cannot.
  bool kill_all() const;
  int64_t peak_bytes() const;     // 0: not known
  int64_t current_bytes() const;  // -1: not known
  int memory_kills() const;
  // Removes the groups. For the end, when they are empty.
  void remove();

 private:
  bool make_folder(const std::string& parent, const std::string& name, std::string& made);
  void make_version1(const std::string& parent, const std::string& name, int64_t memory_bytes, int64_t processes,
                     bool is_memory);
  void make_version2(const std::string& parent, const std::string& name, int64_t memory_bytes, int64_t processes);

  std::vector<std::string> folders_;
  std::string memory_;     // the folder that limits it
  std::string processes_;  // likewise
  std::string kill_file_;
  bool memory_is_version2_ = false;
  std::string why_ = "no control groups are mounted";
};

}  // namespace vortex::sandbox
