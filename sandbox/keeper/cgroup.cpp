#include "sandbox/keeper/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace vortex::sandbox {
namespace {

bool write_text(const std::string& file, const std::string& text) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) { return false; }
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int reason = errno;
  ::close(fd);
  errno = reason;
  return written;
}

std::string read_text(const std::string& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

int64_t read_number(const std::string& file, int64_t absent) {
  std::ifstream stream(file);
  int64_t number = absent;
  return stream >> number ? number : absent;
}

// The number behind `key` in a file of "key number" lines.
int64_t read_entry(const std::string& file, const std::string& key) {
  std::ifstream stream(file);
  std::string name;
  for (int64_t number = 0; stream >> name >> number;) {
    if (name == key) { return number; }
  }
  return 0;
}

bool has_word(const std::string& list, const std::string& word, char separator) {
  std::istringstream words(list);
  for (std::string one; std::getline(words, one, separator);) {
    if (one == word || one == word + "\n") { return true; }
  }
  return false;
}

// Which group of a hierarchy this process is in, from /proc/self/cgroup; `controller` is empty for version 2.
std::string own_group(const std::string& controller) {
  std::ifstream stream("/proc/self/cgroup");
  for (std::string line; std::getline(stream, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) { continue; }
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? controllers.empty() : has_word(controllers, controller, ',')) {
      return line.substr(second + 1);
    }
  }
  return {};
}

// The folder of our own group in the hierarchy of a controller (version 2: empty); empty when it is not mounted.
std::string own_folder(const std::string& controller) {
  const std::string group = own_group(controller);
  if (group.empty()) { return {}; }
  std::ifstream stream("/proc/self/mountinfo");
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string skipped;
    std::string root;
    std::string place;
    words >> skipped >> skipped >> skipped >> root >> place;
    const size_t dash = line.find(" - ");
    if (dash == std::string::npos) { continue; }
    std::istringstream behind(line.substr(dash + 3));
    std::string type;
    std::string options;
    behind >> type >> skipped >> options;
    const bool fits = controller.empty() ? type == "cgroup2" : type == "cgroup" && has_word(options, controller, ',');
    if (!fits) { continue; }
    // A container may see a part of the hierarchy only: `root` is what stands at the mount point.
    const std::string below = group.starts_with(root) && root != "/" ? group.substr(root.size()) : group;
    return below == "/" ? place : place + below;
  }
  return {};
}

// Do groups below this one of version 2 have limits of memory and processes? Sees to it, where it may.
bool hands_on_limits(const std::string& folder) {
  for (const char* controller : {"+memory", "+pids"}) { write_text(folder + "/cgroup.subtree_control", controller); }
  const std::string controllers = read_text(folder + "/cgroup.subtree_control");
  return has_word(controllers, "memory", ' ') && has_word(controllers, "pids", ' ');
}

}  // namespace

bool Cgroups::make_folder(const std::string& parent, const std::string& name, std::string& made) {
  made = parent + "/" + name;
  if (::mkdir(made.c_str(), 0755) == 0) {
    folders_.push_back(made);
    return true;
  }
  why_ = made + ": " + std::strerror(errno);
  return false;
}

void Cgroups::make_version1(const std::string& parent, const std::string& name, int64_t memory_bytes, int64_t processes,
                            bool is_memory) {
  std::string folder;
  if (!make_folder(parent, name, folder)) { return; }
  const std::string limit = is_memory ? "/memory.limit_in_bytes" : "/pids.max";
  const int64_t value = is_memory ? memory_bytes : processes;
  if (value > 0 && !write_text(folder + limit, std::to_string(value))) {
    why_ = folder + limit + ": " + std::strerror(errno);
    return;
  }
  (is_memory ? memory_ : processes_) = folder;
}

void Cgroups::make_version2(const std::string& parent, const std::string& name, int64_t memory_bytes,
                            int64_t processes) {
  std::string folder;
  if (!make_folder(parent, name, folder)) { return; }
  if (::access((folder + "/cgroup.kill").c_str(), W_OK) == 0) { kill_file_ = folder + "/cgroup.kill"; }
  const std::string controllers = read_text(folder + "/cgroup.controllers");
  const auto limit = [&](const char* controller, const char* file, int64_t value, std::string& kept) {
    if (!kept.empty()) { return; }
    if (!has_word(controllers, controller, ' ')) {
      why_ = "the controller " + std::string(controller) + " is not delegated to " + parent;
    } else if (value > 0 && !write_text(folder + file, std::to_string(value))) {
      why_ = folder + file + ": " + std::strerror(errno);
    } else {
      kept = folder;
    }
  };
  limit("pids", "/pids.max", processes, processes_);
  const bool had_memory = limits_memory();
  limit("memory", "/memory.max", memory_bytes, memory_);
  memory_is_version2_ = !had_memory && limits_memory();
  if (memory_is_version2_) { write_text(folder + "/memory.swap.max", "0"); }
}

void Cgroups::make(const std::string& name, int64_t memory_bytes, int64_t processes) {
  if (const std::string parent = own_folder("memory"); !parent.empty()) {
    make_version1(parent, name, memory_bytes, processes, true);
  }
  if (const std::string parent = own_folder("pids"); !parent.empty()) {
    make_version1(parent, name, memory_bytes, processes, false);
  }
  const std::string own = own_folder("");
  if (own.empty()) { return; }
  // A group that holds processes hands no controllers on (the root's excepted): then beside ours, not below it.
  const std::string beside = own.substr(0, own.rfind('/'));
  const bool there = ::access((beside + "/cgroup.procs").c_str(), W_OK) == 0;
  make_version2(hands_on_limits(own) || !there || !hands_on_limits(beside) ? own : beside, name, memory_bytes,
                processes);
}

bool Cgroups::join() const {
  for (const std::string& folder : folders_) {
    if (!write_text(folder + "/cgroup.procs", "0")) { return false; }
  }
  return true;
}

bool Cgroups::kill_all() const { return kills() && write_text(kill_file_, "1"); }

int64_t Cgroups::peak_bytes() const {
  if (!limits_memory()) { return 0; }
  return read_number(memory_ + (memory_is_version2_ ? "/memory.peak" : "/memory.max_usage_in_bytes"), 0);
}

int64_t Cgroups::current_bytes() const {
  if (!limits_memory()) { return -1; }
  return read_number(memory_ + (memory_is_version2_ ? "/memory.current" : "/memory.usage_in_bytes"), -1);
}

int Cgroups::memory_kills() const {
  if (!limits_memory()) { return 0; }
  return static_cast<int>(
      read_entry(memory_ + (memory_is_version2_ ? "/memory.events" : "/memory.oom_control"), "oom_kill"));
}

void Cgroups::remove() {
  for (const std::string& folder : folders_) {
    // The kernel takes a moment to see that a group is empty.
    for (int attempt = 0; attempt < 50 && ::rmdir(folder.c_str()) != 0 && errno == EBUSY; ++attempt) { ::usleep(2000); }
  }
  folders_.clear();
}

}  // namespace vortex::sandbox
