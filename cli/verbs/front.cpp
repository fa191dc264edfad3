#include <iostream>
#include <memory>

#include "cli/show/front_table.h"
#include "cli/verbs/verbs.h"
#include "study/baseline.h"
#include "study/digest.h"

namespace vortex::cli {
namespace {

Result<int> front(const Context& context, const std::string& name) {
  VORTEX_ASSIGN(const study::Digest digest, study::read_digest(context.workspace, name));
  VORTEX_ASSIGN(const study::Shown shown, study::read_shown(digest.view(), study::Undecided::kShown));
  const std::vector<study::FrontRow>& rows = shown.rows;
  if (context.format() == Format::kText) {
    std::cout << front_table(rows).text();
    const std::string warning = study::baseline_warning(shown.few, digest.options);
    if (!warning.empty()) { log_line(warning); }
    if (rows.empty()) { log_line("no candidate of " + digest.run.name + " has passed every stage yet"); }
    return 0;
  }
  std::vector<nlohmann::json> items;
  for (const study::FrontRow& row : rows) { items.push_back(to_json(row)); }
  print_records(context.format(), "front", items);
  return 0;
}

}  // namespace

void add_front(CLI::App& app, Context& context) {
  const auto name = std::make_shared<std::string>();
  CLI::App* verb = add_verb(app, context, "front", "the policies that no other beats in both accuracy and speed",
                            [&context, name] { return front(context, *name); });
  verb->add_option("--run", *name, "the search, by name or number (the newest)");
  add_workspace_option(verb, context);
  add_format_option(verb, context);
}

}  // namespace vortex::cli
