#include <iostream>
#include <memory>

#include "base/files.h"
#include "cli/policy_files.h"
#include "cli/shapes.h"
#include "cli/verbs/verbs.h"
#include "core/vflow/graph/distance.h"
#include "core/vflow/tell/explain.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

struct DiversityArguments {
  std::vector<std::string> modules;
  std::string run;
  std::string model;
  std::string shape;
  std::string svg;
};

struct Programs {
  std::vector<std::string> names;
  std::vector<vflow::CanonicalTree> trees;
};

Status add(Programs& programs, const std::string& name, const vflow::PolicySource& source, const Shape& shape) {
  VORTEX_ASSIGN(const vflow::Policy policy, checked_policy(source, shape.geometry));
  programs.names.push_back(name);
  programs.trees.push_back(canonical_tree(policy.program));
  return ok_status();
}

Result<Programs> programs_of(const Context& context, const DiversityArguments& arguments) {
  Programs programs;
  for (const std::string& module : arguments.modules) {
    VORTEX_ASSIGN(const vflow::PolicySource source, read_policy(module, ""));
    VORTEX_ASSIGN(const Shape shape, shape_of(source, arguments.shape, arguments.model, 0));
    VORTEX_TRY(add(programs, module, source, shape));
  }
  if (!arguments.modules.empty()) { return programs; }
  VORTEX_ASSIGN(const study::LoadedRun run, study::load_run(context.workspace, arguments.run));
  for (const study::CandidateHistory& candidate : run.history.candidates) {
    if (!study::has_passed(candidate.row) || study::is_dense(candidate.row)) { continue; }
    VORTEX_ASSIGN(const study::CandidateFiles files, study::files_of(*run.store, candidate.row));
    const vflow::PolicySource source{files.module_text, files.config_text};
    VORTEX_ASSIGN(const Shape shape, shape_of(source, "", run.options.job.model_path, kDefaultContext));
    VORTEX_TRY(add(programs, std::to_string(candidate.row.id), source, shape));
  }
  return programs;
}

Result<int> diversity(const Context& context, const DiversityArguments& arguments) {
  VORTEX_ASSIGN(const Programs programs, programs_of(context, arguments));
  const size_t n = programs.trees.size();
  const std::vector<double> matrix = distance_matrix(programs.trees);
  if (!arguments.svg.empty()) {
    VORTEX_TRY(write_file_atomic(arguments.svg, vflow::distance_heatmap_svg(programs.names, matrix)));
  }
  const double mean = mean_pairwise_distance(programs.trees);
  Table table({"policy", "nearest", "distance"});
  std::vector<nlohmann::json> items;
  for (size_t i = 0; i < n && n > 1; ++i) {
    size_t nearest = i == 0 ? 1 : 0;
    for (size_t j = 0; j < n; ++j) {
      if (j != i && matrix[i * n + j] < matrix[i * n + nearest]) { nearest = j; }
    }
    table.add({programs.names[i], programs.names[nearest], fixed(matrix[i * n + nearest], 3)});
    items.push_back({{"policy", programs.names[i]},
                     {"nearest", programs.names[nearest]},
                     {"distance", matrix[i * n + nearest]},
                     {"mean_pairwise_distance", mean}});
  }
  if (context.format() != Format::kText) {
    print_records(context.format(), "diversity", items);
    return 0;
  }
  print_table(table);
  std::cout << "mean pairwise distance of " << n << " programs: " << fixed(mean, 3) << "\n";
  return 0;
}

}  // namespace

void add_diversity(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<DiversityArguments>();
  CLI::App* verb = add_verb(app, context, "diversity", "how far policies are apart in structure",
                            [&context, arguments] { return diversity(context, *arguments); });
  verb->add_option("modules", arguments->modules, "policies, .py files with their .json (those of a search)");
  verb->add_option("--run", arguments->run, "the search whose passing candidates are meant (the newest)");
  verb->add_option("--model", arguments->model, "folder of the model (the configurations' model_path)");
  add_shape_option(verb, arguments->shape);
  verb->add_option("--svg", arguments->svg, "file for a heat map");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
