// Any bytes as a module and a configuration, separated by the first NUL, end in a report.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/vflow/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vortex::vflow;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t split = text.find('\0');
  PolicySource source;
  source.module_text = text.substr(0, split);
  source.config_text = split == std::string_view::npos ? "{}" : text.substr(split + 1);
  ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 4;
  model.head_dim = 64;
  model.max_context = 4608;
  if (source.module_text.find("vFlowMLA") != std::string::npos) {
    model.num_kv_heads = 1;
    model.kv_lora_rank = 512;
    model.rope_dim = 64;
  }
  const CheckReport report = check_policy(source, model);
  if (report.policy.has_value() == has_errors(report.diagnostics)) __builtin_trap();
  for (const Diagnostic& finding : report.diagnostics) to_json(finding);
  return 0;
}
