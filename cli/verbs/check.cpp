#include <iostream>
#include <memory>

#include "base/escape.h"
#include "cli/policy_files.h"
#include "cli/shapes.h"
#include "cli/verbs/verbs.h"
#include "core/vflow/graph/canonical.h"

namespace vortex::cli {
namespace {

struct CheckArguments {
  std::string module;
  std::string config;
  std::string model;
  std::string shape;
  std::string device = "auto";
  int max_context = 0;
};

// Nobody said what is to run it, and no GPU is here: what the CPU does not cover is told, but refuses nothing.
void warn_of_cpu(const vflow::PolicySource& source, vflow::ModelGeometry geometry, vflow::CheckReport& report) {
  geometry.backend = limits_of_device("cpu");
  for (vflow::Diagnostic& finding : vflow::check_policy(source, geometry).diagnostics) {
    if (!finding.code.starts_with("backend-")) { continue; }
    finding.severity = vflow::Severity::kWarning;
    report.diagnostics.push_back(std::move(finding));
  }
}

Result<int> check(const Context& context, const CheckArguments& arguments) {
  VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(arguments.module, arguments.config));
  VORTEX_ASSIGN(Shape shape, shape_of(source, arguments.shape, arguments.model, arguments.max_context));
  shape.geometry.backend = limits_of_device(arguments.device);
  vflow::CheckReport report = vflow::check_policy(source, shape.geometry);
  if (shape.geometry.backend.name.empty()) { warn_of_cpu(source, shape.geometry, report); }
  if (!shape.warning.empty()) { log_line("warning: " + shape.warning); }
  const int code = report.policy ? 0 : exit_code(Blame::kCandidate);
  if (context.format() == Format::kText) {
    if (!report.diagnostics.empty()) { std::cerr << terminal_text(render(report.diagnostics)) << "\n"; }
    if (report.policy) {
      std::cout << "ok: " << report.policy->program.name << " " << policy_key(*report.policy) << "\n";
    }
    return code;
  }
  nlohmann::json record = {{"ok", report.policy.has_value()}, {"diagnostics", nlohmann::json::array()}};
  for (const vflow::Diagnostic& diagnostic : report.diagnostics) {
    record["diagnostics"].push_back(nlohmann::json::parse(to_json(diagnostic), nullptr, false));
  }
  if (report.policy) {
    record["name"] = report.policy->program.name;
    record["key"] = policy_key(*report.policy);
    record["program_hash"] = program_hash(report.policy->program);
  }
  print_record(context.format(), "check", record);
  return code;
}

}  // namespace

void add_check(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<CheckArguments>();
  CLI::App* verb = add_verb(app, context, "check", "says what is wrong with a policy, with line, column and remedy",
                            [&context, arguments] { return check(context, *arguments); });
  verb->add_option("module", arguments->module, "the policy, a .py file")->required();
  verb->add_option("config", arguments->config, "its configuration (the .json beside it)");
  verb->add_option("--model", arguments->model, "folder of the model (the configuration's model_path)");
  verb->add_option("--device", arguments->device,
                   "what must be able to run it: cuda, cpu, or auto (a GPU that is here)")
      ->check(CLI::IsMember({"auto", "cuda", "cpu"}));
  add_shape_option(verb, arguments->shape);
  verb->add_option("--max-context", arguments->max_context,
                   "longest context in tokens (the configuration's vortex_max_seq_lens)")
      ->check(CLI::Range(1, 1 << 24));
  add_format_option(verb, context);
}

}  // namespace vortex::cli
