#pragma once

#include <string>
#include <vector>

namespace vortex::sandbox {

// What a process may touch of the file system once it is confined: paths of files, or of folders with all below.
struct FileRules {
  std::vector<std::string> read;     // files and lists of folders
  std::vector<std::string> execute;  // read, and start as a program
  std::vector<std::string> write;    // everything but starting programs
  std::vector<std::string> devices;  // read, write, ioctl
};

// Version of the kernel's Landlock interface; 0: it has none, `why` says so.
int landlock_version(std::string& why);

// Confines this thread and everything that it starts from here on: no files but those, no TCP, no abstract sockets and
// no signals to processes outside. Paths that do not exist are passed over. Needs no_new_privs. Empty: done; else what
// failed.
std::string confine(const FileRules& rules, int version);

}  // namespace vortex::sandbox
