// Any bytes as a module and a configuration, separated by the first NUL, end in a report. A policy that passes prints,
// parses back to itself, and can be explained, drawn and measured.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/vflow/graph/canonical.h"
#include "core/vflow/graph/distance.h"
#include "core/vflow/policy.h"
#include "core/vflow/tell/explain.h"

namespace {

using namespace vortex::vflow;

void require(bool holds) {
  if (!holds) { __builtin_trap(); }
}

ModelGeometry model_for(std::string_view module_text) {
  ModelGeometry model;
  model.layers = 4;
  model.num_q_heads = 8;
  model.num_kv_heads = 4;
  model.head_dim = 64;
  model.max_context = 4608;
  if (module_text.find("vFlowMLA") != std::string_view::npos) {
    model.num_kv_heads = 1;
    model.kv_lora_rank = 512;
    model.rope_dim = 64;
  }
  return model;
}

void use(const Policy& policy, const ModelGeometry& model) {
  const CheckReport again = check_policy(print_policy(policy), model);
  require(again.policy.has_value());
  require(policy_key(*again.policy) == policy_key(policy));
  const CanonicalTree tree = canonical_tree(policy.program);
  require(structural_distance(tree, canonical_tree(again.policy->program)) == 0);
  require(!explain(policy, model).empty());
  require(!graph_text(policy.program).empty());
  require(!graph_svg(policy.program).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t split = text.find('\0');
  PolicySource source;
  source.module_text = text.substr(0, split);
  source.config_text = split == std::string_view::npos ? "{}" : text.substr(split + 1);
  const ModelGeometry model = model_for(source.module_text);
  const CheckReport report = check_policy(source, model);
  require(report.policy.has_value() != has_errors(report.diagnostics));
  for (const Diagnostic& finding : report.diagnostics) { to_json(finding); }
  if (report.policy) { use(*report.policy, model); }
  return 0;
}
