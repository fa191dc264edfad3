#include "study/lineage.h"

#include <iostream>
#include <memory>

#include "base/escape.h"
#include "cli/verbs/verbs.h"
#include "study/loaded_run.h"

namespace vortex::cli {
namespace {

Result<int> lineage(const Context& context, int64_t id) {
  VORTEX_ASSIGN(const study::LoadedRun run, study::load_run_of(context.workspace, id));
  if (context.format() == Format::kText) {
    std::cout << terminal_text(study::ancestry_text(run.history, id));
    return 0;
  }
  std::vector<nlohmann::json> edges;
  for (const study::Ancestor& line : study::ancestry(run.history, id)) {
    if (line.depth == 0) { continue; }
    edges.push_back({{"child", line.child}, {"parent", line.candidate}, {"operation", line.operation}});
  }
  print_records(context.format(), "lineage", edges);
  return 0;
}

}  // namespace

void add_lineage(CLI::App& app, Context& context) {
  const auto id = std::make_shared<int64_t>(0);
  CLI::App* verb = add_verb(app, context, "lineage", "what a candidate was made from, back to the first policies",
                            [&context, id] { return lineage(context, *id); });
  verb->add_option("candidate", *id, "its number")->required();
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
