// Any bytes as a task file and the JSONL file that it names, separated by the first NUL: refused, or a task that can be
// written and read again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "evals/tasks/task_file.h"
#include "tests/fuzz/folder.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  write_in_folder("task.json", input.substr(0, split));
  write_in_folder("data.jsonl", split == std::string_view::npos ? std::string_view() : input.substr(split + 1));
  const auto task = vortex::evals::read_task_file(fuzz_folder() / "task.json");
  if (task.ok() && !vortex::job::task_from_json(vortex::job::to_json(*task)).ok()) { __builtin_trap(); }
  return 0;
}
