#include "cli/become.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/shared_memory.h"

namespace vortex::cli {

Result<int> become(const std::string& name, std::vector<std::string> arguments) {
  std::error_code ec;
  const std::string path = (std::filesystem::read_symlink("/proc/self/exe", ec).parent_path() / name).string();
  arguments.insert(arguments.begin(), path);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) { pointers.push_back(argument.data()); }
  pointers.push_back(nullptr);
  ::execv(path.c_str(), pointers.data());
  return environment_error("cannot start " + path + ": " + std::strerror(errno), "build it (scripts/build.sh)");
}

Result<int> become_with_input(const std::string& name, const std::string& input) {
  VORTEX_ASSIGN(SharedMemory memory, SharedMemory::make(input.size()));
  std::memcpy(memory.data(), input.data(), input.size());
  VORTEX_ASSIGN(const Descriptor sealed, std::move(memory).seal());
  if (::lseek(sealed.get(), 0, SEEK_SET) < 0 || ::dup2(sealed.get(), STDIN_FILENO) < 0) {
    return environment_error(std::string("cannot hand on what ") + name + " is to do: " + std::strerror(errno));
  }
  return become(name, {});
}

}  // namespace vortex::cli
