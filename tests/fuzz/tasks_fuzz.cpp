// Any bytes as a task file and the JSONL file that it names, separated by the first NUL: refused, or a task that can be
// written and read again.
#include <stdlib.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "evals/tasks/task_file.h"

namespace {

// A folder for this process, in memory where there is one.
const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    std::string name =
        std::filesystem::exists("/dev/shm") ? "/dev/shm/vortex-tasks-XXXXXX" : "/tmp/vortex-tasks-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) { __builtin_trap(); }
    ::atexit([] {
      std::error_code ec;
      std::filesystem::remove_all(folder(), ec);
    });
    return std::filesystem::path(name);
  }();
  return path;
}

void write(const char* name, std::string_view bytes) {
  std::ofstream(folder() / name, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  write("task.json", input.substr(0, split));
  write("data.jsonl", split == std::string_view::npos ? std::string_view() : input.substr(split + 1));
  const auto task = vortex::evals::read_task_file(folder() / "task.json");
  if (task.ok() && !vortex::job::task_from_json(vortex::job::to_json(*task)).ok()) { __builtin_trap(); }
  return 0;
}
