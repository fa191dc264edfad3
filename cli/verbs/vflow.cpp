#include <iostream>
#include <memory>

#include "cli/policy_files.h"
#include "cli/shapes.h"
#include "cli/verbs/verbs.h"
#include "core/vflow/tell/explain.h"

namespace vortex::cli {
namespace {

struct VflowArguments {
  std::string module;
  std::string config;
  std::string model;
  std::string shape;
  bool svg = false;
};

using Printer = std::function<std::string(const vflow::Policy&, const vflow::ModelGeometry&)>;

Result<int> print_checked(const VflowArguments& arguments, const Printer& print) {
  VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(arguments.module, arguments.config));
  VORTEX_ASSIGN(const Shape shape, shape_of(source, arguments.shape, arguments.model, 0));
  VORTEX_ASSIGN(const vflow::Policy policy, checked_policy(source, shape.geometry));
  std::cout << print(policy, shape.geometry) << "\n";
  return 0;
}

CLI::App* add_policy_verb(CLI::App* parent, Context& context, const std::shared_ptr<VflowArguments>& arguments,
                          const std::string& name, const std::string& help, Printer print) {
  CLI::App* verb = add_verb(*parent, context, name, help,
                            [arguments, print = std::move(print)] { return print_checked(*arguments, print); });
  verb->add_option("module", arguments->module, "the policy, a .py file")->required();
  verb->add_option("config", arguments->config, "its configuration (the .json beside it)");
  verb->add_option("--model", arguments->model, "folder of the model (the configuration's model_path)");
  add_shape_option(verb, arguments->shape);
  return verb;
}

Result<int> print_text(const std::string& text) {
  std::cout << text << "\n";
  return 0;
}

}  // namespace

void add_vflow(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<VflowArguments>();
  CLI::App* verb = app.add_subcommand("vflow", "the language: reference, operations, drawings, explanations");
  verb->require_subcommand(1);
  add_verb(*verb, context, "ref", "the language reference, in Markdown",
           [] { return print_text(vflow::language_reference_markdown()); });
  add_verb(*verb, context, "ops", "the operations, as JSON", [] { return print_text(vflow::ops_json()); });
  add_policy_verb(
      verb, context, arguments, "fmt", "the policy, printed anew",
      [](const vflow::Policy& policy, const vflow::ModelGeometry&) { return print_policy(policy).module_text; });
  add_policy_verb(
      verb, context, arguments, "explain", "what it computes, in formulas, and what a step costs",
      [](const vflow::Policy& policy, const vflow::ModelGeometry& model) { return explain(policy, model); });
  CLI::App* graph = add_policy_verb(verb, context, arguments, "graph", "the traced graph with its shapes",
                                    [arguments](const vflow::Policy& policy, const vflow::ModelGeometry&) {
                                      return arguments->svg ? graph_svg(policy.program) : graph_text(policy.program);
                                    });
  graph->add_flag("--svg", arguments->svg, "as a drawing");
}

}  // namespace vortex::cli
