#include "core/vflow/check/check.h"

#include <algorithm>
#include <tuple>

namespace vortex::vflow {
namespace {

void check_model(const ModelGeometry& model, std::vector<Diagnostic>& diagnostics) {
  const bool sizes = model.layers >= 1 && model.num_q_heads >= 1 && model.num_kv_heads >= 1 && model.head_dim >= 1 &&
                     model.max_context >= 1;
  const bool heads = sizes && (model.kv_lora_rank > 0 || model.num_q_heads % model.num_kv_heads == 0);
  if (heads && (model.kv_lora_rank == 0 || model.rope_dim > 0)) { return; }
  Diagnostic diagnostic;
  diagnostic.code = "model";
  diagnostic.file = "model";
  if (!sizes) {
    diagnostic.message = "the model's layers, heads, head size and context must all be at least 1";
  } else if (!heads) {
    diagnostic.message = "the model's " + std::to_string(model.num_q_heads) +
                         " query heads are not a multiple of its " + std::to_string(model.num_kv_heads) + " kv heads";
  } else {
    diagnostic.message = "a model with latent attention needs a rope size";
  }
  diagnostics.push_back(std::move(diagnostic));
}

// The module's findings first, each file in source order.
void sort_findings(std::vector<Diagnostic>& diagnostics, const std::string& module_file) {
  std::stable_sort(diagnostics.begin(), diagnostics.end(), [&](const Diagnostic& a, const Diagnostic& b) {
    return std::tuple(a.file != module_file, a.line, a.column) < std::tuple(b.file != module_file, b.line, b.column);
  });
}

}  // namespace

CheckReport check_policy(const PolicySource& source, const ModelGeometry& model) {
  CheckReport report;
  check_model(model, report.diagnostics);
  if (has_errors(report.diagnostics)) { return report; }

  EngineConfig config = parse_config(source.config_text, source.config_file, report.diagnostics);
  const bool config_good = !has_errors(report.diagnostics);
  const Source module_text(source.module_file, source.module_text);
  const Source config_text(source.config_file, source.config_text);
  Reporter module(module_text, report.diagnostics);
  Reporter config_file(config_text, report.diagnostics);

  Trace trace = trace_module(module, config.module_name, model, config.block_size);
  const std::string_view name = config.module_name.empty() ? std::string_view(trace.program.name) : config.module_name;
  if (!name.empty()) { check_text_contract(name, config, module); }
  if (trace.complete) {
    const CheckInput input{trace, config, model, module, config_file};
    check_program(input);
    if (config_good) { check_fit(input); }
    check_upstream(input);
  }
  sort_findings(report.diagnostics, source.module_file);
  if (!has_errors(report.diagnostics)) {
    config.module_name = trace.program.name;
    report.policy = Policy{std::move(trace.program), std::move(config)};
  }
  return report;
}

}  // namespace vortex::vflow
