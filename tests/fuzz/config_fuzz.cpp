// Any bytes as an engine configuration end in a report, and a good one prints and parses back.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/vflow/config/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::vflow;
  std::vector<Diagnostic> findings;
  const EngineConfig config = parse_config({reinterpret_cast<const char*>(data), size}, "config.json", findings);
  if (has_errors(findings)) { return 0; }
  const std::string printed = print_config(config);
  const EngineConfig again = parse_config(printed, "config.json", findings);
  if (has_errors(findings) || print_config(again) != printed) { __builtin_trap(); }
  for (int blocks = 1; blocks < 5000; blocks *= 3) {
    if (selected_blocks(config, blocks) > blocks) { __builtin_trap(); }
  }
  return 0;
}
