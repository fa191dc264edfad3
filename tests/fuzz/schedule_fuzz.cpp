// Any bytes as a schedule policy compile or are refused; what compiles has a budget for every row.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/vflow/config/schedule.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::vflow;
  std::vector<Diagnostic> findings;
  const Schedule schedule = Schedule::compile({reinterpret_cast<const char*>(data), size}, "snippet", findings);
  if (schedule.is_default() == findings.empty()) { __builtin_trap(); }
  for (int blocks = 1; blocks < 5000; blocks *= 3) { schedule.budget({blocks, 29, 0.1, 1, 2}); }
  return schedule.canonical().empty() ? 1 : 0;
}
